// Uses the support desk as a person would: node browse.js PAGE CHROMIUM TICKET SCREENSHOT
import { chromium } from "playwright-core";

const [url, executablePath, ticket, screenshot] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage();
const problems = [];
page.on("pageerror", (error) => problems.push(String(error)));
page.on("console", (line) => line.type() === "error" && problems.push(line.text()));

try {
  await page.goto(url);
  await page.fill("#ticket", ticket);
  await page.click("#submit");
  await page.waitForSelector("#approve", { timeout: 60_000 });
  const asked = await page.innerText("#question");
  await page.screenshot({ path: screenshot });
  await page.click("#approve");
  await page.waitForFunction(() => document.querySelector("#outcome")?.textContent === "sent", null, {
    timeout: 60_000,
  });
  const shown = {};
  for (const name of ["category", "priority", "draft", "outcome", "thread"])
    shown[name] = await page.innerText(`#${name}`);
  console.log(JSON.stringify({ asked, shown, problems }));
} catch (error) {
  console.error(String(error), problems, await page.innerText("body"));
  process.exitCode = 1;
} finally {
  await browser.close();
}
