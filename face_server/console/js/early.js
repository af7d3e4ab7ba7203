// Before the first paint: the theme and language chosen last time, or else the system's, so that nothing flashes.
(function () {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // storage can be closed to us
    }
  };
  const wear = () => {
    const chosen = stored("theme");
    root.dataset.theme = chosen === "light" || chosen === "dark" ? chosen : system.matches ? "dark" : "light";
  };
  wear();
  system.addEventListener("change", wear);
  const language = stored("language") || (navigator.language || "en").slice(0, 2);
  root.lang = language === "zh" ? "zh-CN" : "en";
})();
