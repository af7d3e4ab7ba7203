// Before the first paint: the theme and language chosen last time, so that nothing flashes.
(function () {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    const chosen = localStorage.getItem("language");
    const language = chosen || (navigator.language || "en").slice(0, 2);
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  } catch {
    // Storage can be closed to us; the system's theme is good enough.
  }
})();
