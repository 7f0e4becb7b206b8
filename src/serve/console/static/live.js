// Keeps what is live on a page up to date: the part marked data-live is fetched again every two seconds, or, where
// data-events names a call's events, whenever these tell of something.
(() => {
  const part = document.querySelector("[data-live]");
  const alert = document.getElementById("alert");
  const status = document.getElementById("live-status");
  const PAUSE_MS = 400;
  let busy = false;
  let again = false;

  const show = (markup) => {
    // Where the reader is must not change: focus, and how far a table is scrolled.
    const inside = part.contains(document.activeElement) ? document.activeElement : null;
    const [href, label] = [inside?.getAttribute("href"), inside?.getAttribute("aria-label")];
    const left = part.querySelector(".scroll")?.scrollLeft ?? 0;
    // The daemon's own markup, from this origin; whatever came from outside is escaped in it.
    part.innerHTML = markup;
    part.querySelector(".scroll")?.scrollTo({ left });
    if (inside) {
      const isSame = (each) => each.getAttribute("href") === href && each.getAttribute("aria-label") === label;
      [...part.querySelectorAll("a, [tabindex]")].find(isSame)?.focus({ preventScroll: true });
    }
    const words = [...part.querySelectorAll("[data-alert]")].map((each) => each.dataset.alert).join(" ");
    // Said again only when it changes: each change is read out.
    if (alert.textContent !== words) alert.textContent = words;
    alert.hidden = words === "";
  };

  // Said once: each change is read out.
  const say = (words) => {
    if (status.textContent !== words) status.textContent = words;
  };

  const refresh = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(part.dataset.live, { credentials: "same-origin", redirect: "manual" });
      if (answer.ok) {
        show(await answer.text());
        say(part.dataset.events ? "Live: this page follows the call." : "Kept up to date every two seconds.");
      } else if (answer.status === 401 || answer.type === "opaqueredirect") location.reload();
    } catch {
      say("The service does not answer.");
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
  events.addEventListener("call.ended", () => {
    events.close();
    say("The call has ended; its result follows.");
    location.assign(part.dataset.result);
  });
  events.addEventListener("error", () => {
    say("The connection was lost; trying again.");
    // Not tried again by the browser itself: the call has ended meanwhile, or the session has.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
  });
})();
