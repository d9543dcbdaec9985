// Before anything is drawn: the colours that were chosen last, "light" or "dark"; otherwise those of the system.
{
  let theme = null;
  try {
    theme = localStorage.getItem("txroom.theme");
  } catch {
    // A browser that keeps nothing for pages.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
