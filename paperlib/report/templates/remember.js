// Keep the choice "Hide code" from page to page; where a browser stores nothing for files, each page begins anew.
{
  const box = document.getElementById("hide-code");
  try {
    box.checked = localStorage.getItem("hide-code") !== "no";
    box.addEventListener("change", () => { try { localStorage.setItem("hide-code", box.checked ? "yes" : "no"); } catch {} });
  } catch {}
}
