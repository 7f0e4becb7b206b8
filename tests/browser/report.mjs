// Opens reports from disk without any network and says what happened, as a JSON object per view.
// Usage: node report.mjs PAGE.html FOLDER-FOR-PICTURES
import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { Browser } from "./chromium.mjs";

const [path, out] = process.argv.slice(2);
const browser = await Browser.start();
try {
  for (const width of [360, 1280]) {
    for (const dark of [false, true]) {
      const page = await browser.page({ width, dark });
      await page.open(pathToFileURL(path).href);
      const found = await page.evaluate(`(async () => {
        await Promise.all([...document.images].map((image) => image.decode()));
        const root = document.documentElement;
        const sortable = document.querySelector("table.sortable");
        const answers = () => [...sortable.tBodies[0].rows].map((row) => row.cells[1].dataset.key);
        const before = sortable && answers();
        sortable?.tHead.rows[0].cells[1].querySelector("button").click();
        return {
          title: document.title,
          heading: document.querySelector("h1").textContent,
          overflow: root.scrollWidth - root.clientWidth,
          background: getComputedStyle(document.body).backgroundColor,
          scripts: document.scripts.length,
          images: document.querySelectorAll("image").length,
          before,
          sorted: sortable && answers(),
        };
      })()`);
      const name = `${basename(path, ".html")}-${width}-${dark ? "dark" : "light"}`;
      writeFileSync(join(out, `${name}.png`), await page.screenshot());
      const pdf = await page.pdf();
      if (!dark) writeFileSync(join(out, `${name}.pdf`), pdf);
      const requests = page.requests.filter((url) => !url.startsWith("data:"));
      console.log(JSON.stringify({ width, dark, ...found, pdf_bytes: pdf.length, requests, complaints: page.complaints }));
    }
  }
} finally {
  await browser.stop();
}
