// Uses the console as a person does, at two widths, light and dark, and says what happened: a JSON object per line.
// Usage: node console.mjs ADDRESS TOKEN RECORDING FOLDER-FOR-PICTURES [AXE.js]
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Browser } from "./chromium.mjs";

const [address, token, recording, out, axe] = process.argv.slice(2);
const axeSource = axe && readFileSync(axe, "utf8");
const views = [];
for (const width of [360, 1920]) for (const dark of [false, true]) views.push({ width, dark });

// What is wrong with the page for people who cannot see or use a mouse.
async function barriers(page) {
  if (!axeSource) return null;
  await page.evaluate(`${axeSource}; undefined`);
  return page.evaluate(`(async () => {
    const { violations } = await axe.run(document);
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    return serious.map(({ id, nodes }) => id + ": " + nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", "));
  })()`);
}

async function look(page, name, { width, dark }, more = {}) {
  const found = await page.evaluate(`({
    title: document.title,
    heading: document.querySelector("h1")?.textContent.trim(),
    landmarks: ["header", "nav", "main"].filter((name) => document.querySelector(name)),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
  })`);
  const wrong = await barriers(page);
  writeFileSync(join(out, `${name}-${width}-${dark ? "dark" : "light"}.png`), await page.screenshot());
  console.log(JSON.stringify({ name, width, dark, ...found, barriers: wrong, ...more, complaints: page.complaints }));
}

async function signIn(page) {
  await page.open(`${address}/console/scans`);
  const asked = await page.evaluate("location.pathname + location.search");
  await page.evaluate(`document.querySelector("#token").value = ${JSON.stringify(token)}`);
  const loaded = page.event("Page.loadEventFired");
  await page.press("Enter", "#token");
  await loaded;
  return { asked, arrived: await page.evaluate("location.pathname") };
}

async function handIn(page, file = recording) {
  await page.open(`${address}/console`);
  await page.evaluate(`document.querySelector("#label").value = "case <b>7</b>"`);
  await page.choose("#file", [file]);
  await page.until(`document.querySelector("#player audio")?.readyState > 0`, "the verdict with its player");
  return page.evaluate(`({
    path: location.pathname,
    bars: document.querySelectorAll(".graph .bar").length,
    image: document.querySelector(".graph image")?.getAttribute("href"),
    buttons: document.querySelectorAll("button.play").length,
    name: document.querySelector(".answer .name").textContent,
  })`);
}

// A segment by the keyboard, then a place in the picture by the mouse, then the arrow keys.
async function hear(page) {
  const audio = `document.querySelector("#player audio")`;
  await page.evaluate(`document.querySelector("details.segments").open = true`);
  await page.press("Enter", "tr[data-start='4.00'] button.play");
  await page.until(`${audio}.currentTime > 4.2`, "the segment to be heard");
  const row = await page.evaluate(`document.querySelector("tr[data-start='4.00']").classList.contains("heard")`);
  await page.until(`${audio}.paused`, "the segment to end");
  const end = await page.evaluate(`${audio}.currentTime`);
  await page.click(".seek", 0.5, 0.3);
  await page.until(`!${audio}.paused && parseFloat(document.querySelector(".playhead").style.left) > 40`, "the playhead");
  await page.press(" ", ".seek");
  await page.until(`${audio}.paused`, "silence");
  await page.press("Home", ".seek");
  await page.until(`${audio}.currentTime === 0`, "the start");
  await page.press("ArrowRight", ".seek");
  await page.until(`${audio}.currentTime > 1.9 && !${audio}.seeking`, "the step");
  const slider = await page.evaluate(`document.querySelector(".seek").getAttribute("aria-valuetext")`);
  // A pause that comes before the sound is no fault.
  await page.evaluate(`document.querySelector(".seek").click(); ${audio}.pause()`);
  await page.until(`${audio}.paused && !${audio}.seeking`, "the pause");
  const note = await page.evaluate(`document.querySelector("#player-note").textContent`);
  return { row, end, slider, note };
}

// The two sides of a call apart: while the agent speaks, the caller's channel is silent.
async function hearSides(page) {
  await handIn(page, join(dirname(recording), "call-agent-left-caller-right.wav"));
  // Whatever goes to the loudspeaker is measured on its way.
  await page.evaluate(`(() => {
    const { connect } = AudioNode.prototype;
    AudioNode.prototype.connect = function (target, ...rest) {
      if (target instanceof AudioDestinationNode) {
        window.meter = target.context.createAnalyser();
        connect.call(this, window.meter, ...rest);
      }
      return connect.call(this, target, ...rest);
    };
  })()`);
  const loudest = `(async () => {
    const audio = document.querySelector("#player audio");
    const samples = new Float32Array(2048);
    audio.currentTime = 2;
    await audio.play();
    let most = 0;
    while (audio.currentTime < 3.5) {
      if (audio.currentTime > 2.5) meter.getFloatTimeDomainData(samples);
      most = Math.max(most, ...samples.map(Math.abs));
      await new Promise(requestAnimationFrame);
    }
    audio.pause();
    return most;
  })()`;
  const heard = [];
  // From "all" down to the first channel, then to the second.
  for (const channel of ["0", "1"]) {
    await page.press("ArrowDown", "#heard-channel");
    await page.until(`document.querySelector("#heard-channel").value === "${channel}"`, "the choice");
    heard.push(await page.evaluate(loudest));
  }
  return { heard };
}

async function overrule(page) {
  await page.evaluate(`document.querySelector("#decision").value = "bona_fide"`);
  await page.evaluate(`document.querySelector("#note").value = "the speaker <i>called back</i>"`);
  const loaded = page.event("Page.loadEventFired");
  await page.press("Enter", "#note");
  await loaded;
  return page.evaluate(`({
    notice: document.querySelector(".notice").textContent,
    person: document.querySelector(".person").textContent,
    italics: document.querySelectorAll("main i").length,
    player: document.querySelector("#player-note").textContent,
  })`);
}

const browser = await Browser.start({ online: true });
try {
  let path = null;
  for (const view of views) {
    const page = await browser.page(view);
    if (!path) {
      await page.open(`${address}/console/sign-in`);
      await look(page, "sign-in", view);
      console.log(JSON.stringify({ step: "sign-in", ...(await signIn(page)) }));
    }
    const handed = await handIn(page);
    path ??= handed.path;
    console.log(JSON.stringify({ step: "hand-in", ...handed }));
    await look(page, "verdict", view);
    if (handed.path === path) {
      console.log(JSON.stringify({ step: "hear", ...(await hear(page)) }));
      await look(page, "heard", view);
      console.log(JSON.stringify({ step: "override", ...(await overrule(page)) }));
      await look(page, "overridden", view);
      await page.choose("#own-copy", [recording]);
      await page.until(`document.querySelector("#player audio").readyState > 0`, "one's own copy");
      const text = encodeURIComponent(basename(recording).toUpperCase());
      await page.open(`${address}/console/scans?text=${text}`);
      const rows = await page.evaluate(`[...document.querySelectorAll("table.cards tbody tr")].map((row) => row.textContent)`);
      console.log(JSON.stringify({ step: "find", rows }));
      console.log(JSON.stringify({ step: "sides", ...(await hearSides(page)) }));
      await look(page, "call", view);
    }
    await page.open(`${address}/console`);
    await look(page, "drop", view);
    await page.open(`${address}/console/scans`);
    await look(page, "history", view);
  }
} finally {
  await browser.stop();
}
