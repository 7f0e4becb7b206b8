// Watches a live call on the console's pages, as a person would, and says what happened as JSON objects, one per line.
// Usage: node console_live.mjs BASE CALL-ID TOKEN FOLDER-FOR-PICTURES [AXE]
// The call must be going on and be about to raise an alert; its end is waited for.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Browser } from "./chromium.mjs";

const [base, id, token, out, axe] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));
const PATIENCE_MS = 90_000;

// Waits in the page, so that nothing depends on how often it is asked.
const until = (page, condition) => page.evaluate(`new Promise((resolve, reject) => {
  const deadline = Date.now() + ${PATIENCE_MS};
  const look = () => {
    const found = (() => { ${condition} })();
    if (found) resolve(found);
    else if (Date.now() > deadline) reject(new Error(${JSON.stringify(condition)}));
    else setTimeout(look, 50);
  };
  look();
})`);

const look = async (page, name) => {
  writeFileSync(join(out, `${name}.png`), await page.screenshot());
  const found = await page.evaluate(`({
    heading: document.querySelector("h1").textContent,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    landmarks: ["header", "nav", "main"].filter((name) => document.querySelector(name)).length,
  })`);
  let violations = null;
  if (axe) {
    await page.evaluate(`${readFileSync(axe, "utf8")}; undefined`);
    violations = await page.evaluate(`axe.run().then((found) => found.violations.filter(
      (each) => ["serious", "critical"].includes(each.impact),
    ).map((each) => each.id + ": " + each.nodes.map((node) => node.html).join(" | ")))`);
  }
  say({ view: name, ...found, violations, complaints: page.complaints });
};

const browser = await Browser.start({ online: true });
try {
  await signIn();
  const pages = [];
  for (const width of [360, 1920]) {
    const page = await browser.page({ width, height: 1000, dark: width === 360 });
    await page.open(`${base}/console/calls`);
    await until(page, `return document.querySelector("table.calls a")`).catch(() => {});
    await look(page, `calls-${width}`);
    await page.open(`${base}/console/calls/${id}`);
    // Set by hand, so that a page that was loaded anew would be known by its absence.
    await page.evaluate(`window.isTheSamePage = true`);
    pages.push([width, page]);
  }
  const list = await browser.page({ width: 1280 });
  await list.open(`${base}/console/calls`);
  const unalarmed = await list.evaluate(`document.getElementById("alert").hidden`);
  say({ before: unalarmed && await pages[0][1].evaluate(`document.getElementById("alert").hidden`) });
  for (const [width, page] of pages) {
    await until(page, `return !document.getElementById("alert").hidden`);
    const alert = await page.evaluate(`({
      alert: document.getElementById("alert").textContent,
      role: document.getElementById("alert").getAttribute("role"),
      bars: document.querySelectorAll("[data-live] .bar").length,
      isTheSamePage: window.isTheSamePage === true,
    })`);
    say({ width, ...alert });
    await look(page, `call-${width}`);
  }
  await list.evaluate(`{
    window.seen = document.querySelector("[data-live] a");
    seen.focus();
  }`);
  const kept = await until(list, `return !seen.isConnected && document.activeElement.matches("[data-live] a")`);
  say({ focus_is_kept: kept });
  await until(list, `return document.getElementById("alert").textContent.startsWith("case 4711: Alert: caller")`);
  for (const path of ["overview", "settings", "audit"]) {
    for (const width of [360, 1920]) {
      const page = await browser.page({ width, height: 1000, dark: width === 1920 });
        await page.open(`${base}/console/${path}`);
      await look(page, `${path}-${width}`);
    }
  }
  say({ waits: "end" });
  for (const [width, page] of pages) {
    // The page is left while it is asked, which ends the asking.
    const arrived = () => until(page, `return location.pathname === "/console/scans/${id}" && document.readyState === "complete"`);
    await arrived().catch(arrived);
    say({ width, ...await page.evaluate(`({ ended_at: location.pathname, heading: document.querySelector("h1").textContent })`) });
  }
} finally {
  await browser.stop();
}

// The session's cookie then goes with all pages of this browser.
async function signIn() {
  const page = await browser.page();
  await page.open(`${base}/console/sign-in?next=/console/overview`);
  const loaded = page.event("Page.loadEventFired");
  await page.evaluate(`{
    const field = document.querySelector("input[name=token]");
    field.value = ${JSON.stringify(token)};
    field.form.querySelector("button").click();
  }`);
  await loaded;
  say({ signed_in: await page.evaluate(`location.pathname`) });
}
