// While something waits or runs, the lists are fetched again; what is chosen stays chosen.
import { documentAt } from "./wait.js";

const PAUSE_MS = 2000;

async function refresh() {
  const results = document.querySelector("#results");
  // Whoever is at work in the lists is not disturbed.
  const isBusy = results.contains(document.activeElement) || results.querySelector("input:checked");
  if (!document.hidden && !isBusy) {
    try {
      const page = await documentAt(location.href);
      results.replaceChildren(...page.querySelector("#results").childNodes);
    } catch {
      // The service may come back.
    }
  }
  if (document.querySelector("#open")) setTimeout(refresh, PAUSE_MS);
}

if (document.querySelector("#open")) setTimeout(refresh, PAUSE_MS);
