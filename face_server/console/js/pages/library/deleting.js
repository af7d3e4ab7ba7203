// Deleting: it says what goes, waits ten seconds, and can be taken back until then.

import * as api from "../../api.js";
import { t } from "../../i18n.js";
import { complain, confirm, say } from "../../ui/parts.js";

// Answers whether the deletion was ordered. `restored` runs when it was taken back.
export async function deleting({ path, query, title, text, restored }) {
  if (!(await confirm(title, text, t("delete")))) return false;
  try {
    const job = await api.remove(path, query);
    const seconds = Math.max(1, job.starts - Date.now() / 1000);
    say(t("deleting.done"), {
      action: t("deleting.undo"),
      seconds: Math.min(seconds, 10),
      onaction: async () => {
        try {
          await api.post(`jobs/${job.id}/cancel`);
          say(t("deleting.undone"));
          restored();
        } catch (error) {
          complain(error);
        }
      },
    });
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}
