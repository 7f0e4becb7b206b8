// Waits for scans, and takes pages over without leaving this one.

const PAUSE_MS = 500;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Resolves with "done" or "failed".
export async function ended(id) {
  for (;;) {
    const answer = await fetch(`/console/scans/${id}/state`);
    if (!answer.ok) throw new Error(`The service answered ${answer.status}.`);
    const { state } = await answer.json();
    if (state === "done" || state === "failed") return state;
    await pause(PAUSE_MS);
  }
}

// The document at `address`; its scripts do not run.
export async function documentAt(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`The service answered ${answer.status}.`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}
