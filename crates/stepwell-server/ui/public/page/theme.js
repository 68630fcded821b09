// Applies the chosen theme before the first paint; without a choice the system's holds.
try {
  const theme = localStorage.getItem('stepwell.theme');
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
} catch { /* Storage is off: the system's theme holds. */ }
