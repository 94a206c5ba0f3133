// Chromium against `egain`: the console's sign-in page, the page of activities and its calls, sign-out.
"use strict";

const { api, assert, check, finish } = require("../node/gate.js");
const { browse } = require("./chromium.js");

const { base, login } = api("activities");
const { user, password } = login("users");
const list = `${base}/web/custom/view/my_activities.html`;
const activities = `${base}/ws/v12/interaction/activity?assignedTo=${user}`;

async function signIn(page, secret = password) {
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

// What fetch in the page gets; the browser adds cookies by itself.
function status(page, url, options = {}) {
  return page.evaluate(async ([url, options]) => (await fetch(url, options)).status, [url, options]);
}

async function main() {
  await browse(async (page, picture) => {
    await check("E21 a page that needs a session leads to the sign-in page", async () => {
      const answer = await page.goto(list);
      assert.equal(answer.status(), 200);
      assert.match(page.url(), /\/system\/web\/login\?return_to=/);
      await picture("egain-sign-in");
    });

    await check("a wrong password says so, and keeps the way back", async () => {
      await signIn(page, "wrong");
      await page.getByText(/wrong|invalid|incorrect|not/i).first().waitFor();
      await picture("egain-sign-in-wrong");
    });

    await check("E12 E14 E15 the right one leads back to the page, with cookie and token", async () => {
      await signIn(page);
      await page.waitForURL(list);
      const cookies = await page.context().cookies();
      const session = cookies.find((cookie) => cookie.name === "X-egain-session");
      const token = cookies.find((cookie) => cookie.name === "X-egain-csrf");
      assert.deepEqual([session.httpOnly, session.path, session.sameSite], [true, "/system/", "Lax"]);
      assert.equal(token.httpOnly, false);
      assert.equal(await page.evaluate(() => window.getEgainSecurityToken()), token.value);
    });

    await check("E20 E23 E24 E26 the page's own call passes and its list is shown", async () => {
      await page.getByText("Where is my order?").waitFor();
      assert.equal(await page.locator("#activities li").count(), 3);
      await picture("egain-my-activities");
    });

    await check("the document's call with jQuery 1.11.1, unmodified, succeeds", async () => {
      await page.addScriptTag({ path: require.resolve("jquery/dist/jquery.min.js") });
      const found = await page.evaluate((userId) => new Promise((resolve) => {
        const eGainCSRFToken = window.getEgainSecurityToken();
        window.jQuery.ajax({
          url: "../../../ws/v12/interaction/activity?assignedTo=" + userId,
          type: "GET",
          headers: { "X-egain-csrf": eGainCSRFToken, "Accept-Language": "en-US", Accept: "application/json" },
          complete: (xhr, status) => resolve([window.jQuery.fn.jquery, status, xhr.status, xhr.responseJSON.activity.length]),
        });
      }), user);
      assert.deepEqual(found, ["1.11.1", "success", 200, 3]);
    });

    await check("E17 E19 the same call without the token, or with it elsewhere: 403", async () => {
      const token = await page.evaluate(() => window.getEgainSecurityToken());
      assert.equal(await status(page, activities), 403);
      assert.equal(await status(page, `${activities}&X-egain-csrf=${token}`), 403);
      assert.equal(await status(page, activities, { headers: { "X-egain-csrf": token } }), 200);
    });

    await check("the console's home page is shown", async () => {
      await page.goto(`${base}/web/`);
      await page.getByText("Signed in as anna").waitFor();
      await picture("egain-console");
    });

    await check("E13 sign-out leads to the sign-in page; cookie and token are gone, the page asks again", async () => {
      const before = await page.context().cookies();
      await page.evaluate(() => window.egainSignOut());
      await page.waitForURL(`${base}/web/login`);
      assert.deepEqual(await page.context().cookies(), []);
      await page.context().addCookies(before);
      const token = before.find((cookie) => cookie.name === "X-egain-csrf").value;
      const answer = await page.request.get(activities, { headers: { "X-egain-csrf": token } });
      assert.equal(answer.status(), 401);
      await page.goto(list);
      assert.match(page.url(), /\/web\/login\?return_to=/);
    });

    await check("a way back to another origin is not followed", async () => {
      await page.goto(`${base}/web/login?return_to=${encodeURIComponent("http://127.0.0.2:1/")}`);
      await signIn(page);
      await page.waitForLoadState("load");
      assert.equal(new URL(page.url()).origin, new URL(base).origin);
    });
  });
}

main().then(finish, (error) => {
  console.log(`FAIL the browser: ${error.message}`);
  process.exitCode = 1;
});
