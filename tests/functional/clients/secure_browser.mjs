// Chromium over TLS: node secure_browser.mjs CHROMIUM URL...
// Prints one JSON object: for each URL what its page shows once its socket has answered, and all errors.
import { chromium } from "playwright-core";

const [executablePath, ...urls] = process.argv.slice(2);
const quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
const context = await browser.newContext({ ignoreHTTPSErrors: true });
context.setDefaultTimeout(40_000);
const report = { errors: [] };

try {
  for (const url of urls) {
    const page = await context.newPage();
    page.on("pageerror", (error) => report.errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && report.errors.push(message.text()));
    await page.goto(url);
    await page.locator("#echo", { hasText: "hello" }).waitFor();
    report[url] = JSON.parse(await page.locator("#first").textContent());
    await page.close();
  }
  console.log(JSON.stringify(report));
} finally {
  await browser.close();
}
