// Parses mermaid files with mermaid's own parser and draws them as SVG, in a Chromium of this machine:
//
//     node render.mjs FILE.mmd...            writes FILE.svg beside each
//     node render.mjs --check FILE.mmd...    parses only
//     node render.mjs --png FOLDER FILE...   also takes a picture of each, to look at
//
// Nothing is fetched: mermaid and the icons come from node_modules. CHROMIUM names another browser.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { chromium } from "playwright-core";

const CANDIDATES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const require = createRequire(import.meta.url);
const pack = JSON.parse(readFileSync(require.resolve("@iconify-json/logos/icons.json"), "utf8"));

const args = process.argv.slice(2);
const check = args[0] === "--check";
const pngs = args[0] === "--png" ? args[1] : null;
const files = args.slice(check ? 1 : pngs ? 2 : 0);

const executablePath = CANDIDATES.find((path) => path && existsSync(path));
if (!executablePath || !files.length) {
  console.error(files.length ? "no Chromium here: install it, or name one in CHROMIUM" : "name the .mmd files");
  process.exit(2);
}

// Only the icons that a diagram names go into its page; one that the pack lacks is a mistake of the diagram.
const iconsOf = (text) =>
  Object.fromEntries(
    [...text.matchAll(/\(logos:([\w-]+)\)/g)].map(([, name]) => {
      if (!pack.icons[name]) throw new Error(`there is no icon logos:${name}`);
      return [name, pack.icons[name]];
    }),
  );

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
let failed = false;
try {
  for (const file of files) {
    const text = readFileSync(file, "utf8");
    // A page each: mermaid numbers what it draws, and a picture must not depend on the one before.
    const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
    await page.setContent('<body style="margin:0;background:white"></body>');
    await page.addScriptTag({ path: require.resolve("mermaid/dist/mermaid.min.js") });
    try {
      const icons = { ...pack, icons: iconsOf(text) };
      const svg = await page.evaluate(
        async ([text, icons, check]) => {
          const { mermaid } = globalThis;
          mermaid.registerIconPacks([{ name: icons.prefix, icons }]);
          mermaid.initialize({
            startOnLoad: false,
            deterministicIds: true,
            htmlLabels: false,
            fontFamily: "Helvetica, Arial, sans-serif",
          });
          await mermaid.parse(text);
          if (check) return null;
          const drawn = await mermaid.render("diagram", text);
          const image = document.createElement("div");
          image.innerHTML = drawn.svg;
          document.body.replaceChildren(image);
          return new XMLSerializer().serializeToString(image.firstElementChild);
        },
        [text, icons, check],
      );
      if (svg === null) continue;
      // The digest lets a test see, without a browser, that the picture is of this text.
      const digest = createHash("sha256").update(text).digest("hex");
      writeFileSync(file.replace(/\.mmd$/, ".svg"), `<!-- source sha256 ${digest} -->\n${svg}\n`);
      if (pngs) await page.locator("svg").first().screenshot({ path: join(pngs, `${file.split("/").at(-2)}-${basename(file, ".mmd")}.png`) });
    } catch (error) {
      failed = true;
      console.error(`${file}: ${error.message.split("\n    at ")[0]}`);
    } finally {
      await page.close();
    }
  }
} finally {
  await browser.close();
}
process.exitCode = failed ? 1 : 0;
