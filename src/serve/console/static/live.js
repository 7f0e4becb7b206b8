// Keeps what is live on a page up to date: the part marked data-live is fetched again every two seconds, or, where
// data-events names a call's events, whenever these tell of something.
"use strict";
(() => {
  const part = document.querySelector("[data-live]");
  const alert = document.getElementById("alert");
  const status = document.getElementById("live-status");
  const PAUSE_MS = 400;
  let busy = false;
  let again = false;

  const show = (markup) => {
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    // The daemon's own markup, from this origin; whatever came from outside is escaped in it.
    part.innerHTML = markup;
    if (focused) [...part.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
    if (!alert) return;
    const words = [...part.querySelectorAll("[data-alert]")].map((each) => each.dataset.alert).join(" ");
    // Said again only when it changes: each change is read out.
    if (alert.textContent !== words) alert.textContent = words;
    alert.hidden = words === "";
  };

  const refresh = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(part.dataset.live, { credentials: "same-origin", redirect: "manual" });
      if (answer.ok) show(await answer.text());
      else if (answer.status === 401 || answer.type === "opaqueredirect") location.reload();
    } catch {
      status.textContent = "The service does not answer.";
    }
    setTimeout(() => {
      busy = false;
      if (again) {
        again = false;
        refresh();
      }
    }, PAUSE_MS);
  };

  if (!part.dataset.events) {
    setInterval(() => document.hidden || refresh(), 2000);
    return;
  }
  const events = new EventSource(part.dataset.events);
  for (const name of ["state", "party", "note", "listening", "verdict", "alert", "retracted"]) {
    events.addEventListener(`call.${name}`, refresh);
  }
  events.addEventListener("open", () => { status.textContent = "Live: this page follows the call."; });
  events.addEventListener("call.ended", () => {
    events.close();
    status.textContent = "The call has ended; its result follows.";
    location.assign(part.dataset.result);
  });
  events.addEventListener("error", () => {
    status.textContent = "The connection was lost; trying again.";
    // Not tried again by the browser itself: the call has ended meanwhile, or the session has.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
  });
})();
