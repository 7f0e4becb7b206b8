// Drives headless Chromium over its debugging pipe: Node and the browser are all that it takes.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PATIENCE_MS = 60_000;

export class Browser {
  static async start({ online = false } = {}) {
    const profile = mkdtempSync(join(tmpdir(), "clonewatch-browser-"));
    const flags = [
      "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", `--user-data-dir=${profile}`,
    ];
    // Nothing is resolved, not even by the browser's own services.
    if (!online) flags.push("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:1");
    const name = process.env.CHROMIUM ?? "chromium";
    const child = spawn(name, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    return new Browser(child, profile);
  }

  constructor(child, profile) {
    Object.assign(this, { child, profile, lastId: 0, waiting: new Map(), listeners: new Set(), rest: "" });
    child.stdio[4].setEncoding("utf8").on("data", (text) => this.#receive(text));
    const lost = (error) => this.waiting.forEach(({ reject }) => reject(error));
    child.on("error", lost);
    child.on("exit", () => lost(new Error("the browser ended")));
    child.stdio[3].on("error", lost);
  }

  #receive(text) {
    const messages = (this.rest + text).split("\0");
    this.rest = messages.pop();
    for (const message of messages.map((each) => JSON.parse(each))) {
      const waiting = this.waiting.get(message.id);
      if (waiting) {
        this.waiting.delete(message.id);
        if (message.error) waiting.reject(new Error(`${waiting.method}: ${message.error.message}`));
        else waiting.resolve(message.result);
      } else {
        for (const listener of [...this.listeners]) listener(message);
      }
    }
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), PATIENCE_MS);
      const settled = (settle) => (value) => { clearTimeout(timer); settle(value); };
      this.waiting.set(id, { method, resolve: settled(resolve), reject: settled(reject) });
      this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  async page({ width = 1280, height = 900, dark = false } = {}) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId);
    for (const domain of ["Page", "Runtime", "Network", "Log"]) await page.send(`${domain}.enable`);
    await page.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
    const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
    await page.send("Emulation.setEmulatedMedia", { features });
    return page;
  }

  async stop() {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    await this.send("Browser.close").catch(() => this.child.kill("SIGKILL"));
    await ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

export class Page {
  constructor(browser, sessionId) {
    // Addresses that were asked for, and everything that the console or an exception said.
    Object.assign(this, { browser, sessionId, requests: [], complaints: [] });
    browser.listeners.add((message) => {
      if (message.sessionId === sessionId) this.#note(message);
    });
  }

  #note({ method, params }) {
    if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
    if (method === "Log.entryAdded") this.complaints.push(params.entry.text);
    if (method === "Runtime.exceptionThrown") this.complaints.push(params.exceptionDetails.text);
    if (method === "Runtime.consoleAPICalled") this.complaints.push(JSON.stringify(params.args));
    if (method === "Page.javascriptDialogOpening") this.complaints.push(`dialog: ${params.message}`);
  }

  send(method, params) {
    return this.browser.send(method, params, this.sessionId);
  }

  event(name) {
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        clearTimeout(timer);
        this.browser.listeners.delete(listener);
        settle(value);
      };
      const listener = ({ method, params, sessionId }) => {
        if (method === name && sessionId === this.sessionId) done(resolve, params);
      };
      const timer = setTimeout(() => done(reject, new Error(`${name}: never came`)), PATIENCE_MS);
      this.browser.listeners.add(listener);
    });
  }

  async open(url) {
    const loaded = this.event("Page.loadEventFired");
    const { errorText } = await this.send("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await loaded;
  }

  async evaluate(expression) {
    const params = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", params);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // Waits until `expression` is true.
  async until(expression, what) {
    const deadline = Date.now() + PATIENCE_MS;
    while (!(await this.evaluate(expression))) {
      if (Date.now() > deadline) throw new Error(`${what}: never came; ${this.complaints}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  // Presses a key as a person does, on the element that `selector` finds.
  async press(key, selector) {
    await this.evaluate(`document.querySelector(${JSON.stringify(selector)}).focus()`);
    const text = { Enter: "\r", " ": " " }[key];
    const code = { Enter: 13, " ": 32, Home: 36, ArrowRight: 39, ArrowDown: 40 }[key];
    const event = { key, text, windowsVirtualKeyCode: code };
    await this.send("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event, text: undefined });
  }

  // Clicks into the element, at these shares of its width and height.
  async click(selector, across = 0.5, down = 0.5) {
    const [x, y] = await this.evaluate(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center" });
      const box = element.getBoundingClientRect();
      return [box.left + ${across} * box.width, box.top + ${down} * box.height];
    })()`);
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    }
  }

  // Chooses files in an input, as its dialogue does.
  async choose(selector, files) {
    const expression = `document.querySelector(${JSON.stringify(selector)})`;
    const { result } = await this.send("Runtime.evaluate", { expression });
    await this.send("DOM.setFileInputFiles", { files, objectId: result.objectId });
  }

  async screenshot({ full = true } = {}) {
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: full });
    return Buffer.from(data, "base64");
  }

  async pdf() {
    const { data } = await this.send("Page.printToPDF", { printBackground: true });
    return Buffer.from(data, "base64");
  }
}
