// Who is signed in, and what their role may do. The server decides; this only hides what would be refused.

const ROLES = ["viewer", "operator", "admin"];
let account = null;

export const enter = (session) => (account = session);
export const may = (role) => ROLES.indexOf(account?.role) >= ROLES.indexOf(role);
