// Chromium against `superoffice`: sign-in, the page with the hidden field, axios reading the cookie by itself.
"use strict";

const path = require("node:path");
const { api, assert, check, finish } = require("../node/gate.js");
const { browse } = require("./chromium.js");

const onsite = api("crm");
const { user, password } = onsite.login("users");
const home = `${onsite.base}/login/home`;
const contact = "/api/v1/Contact/2";
const AXIOS = path.join(path.dirname(require.resolve("axios/package.json")), "dist/axios.min.js");

async function signIn(page, secret = password) {
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

// What axios in the page gets, without any setting.
function axiosGet(page, url, method = "get") {
  return page.evaluate(([url, method]) => window.axios.request({ url, method }).then(
    (answer) => [answer.status, answer.data.ContactId],
    (error) => [error.response.status, error.response.data.ErrorType],
  ), [url, method]);
}

async function main() {
  await browse(async (page, picture) => {
    await check("a page that needs a session leads to the sign-in page", async () => {
      await page.goto(home);
      assert.match(page.url(), /\/login\?return_to=/);
      await picture("superoffice-sign-in");
    });

    await check("a wrong password says so", async () => {
      await signIn(page, "wrong");
      await page.getByRole("alert").waitFor();
      await picture("superoffice-sign-in-wrong");
    });

    await check("S22 S24 the right one leads back; hidden field and cookie hold the same value", async () => {
      await signIn(page);
      await page.waitForURL(home);
      const field = await page.locator("input#XSRF_TOKEN[name=XSRF_TOKEN][type=hidden]").inputValue();
      const cookies = await page.context().cookies();
      const cookie = (name) => cookies.find((cookie) => cookie.name === name);
      assert.equal(cookie("XSRF-TOKEN").value, field);
      assert.deepEqual([cookie("XSRF-TOKEN").httpOnly, cookie("SuperOffice-Session").httpOnly], [false, true]);
      await page.getByText("Sally Associate").waitFor();
      await picture("superoffice-home");
    });

    await check("S22 a page of the service carries the same value in the same field", async () => {
      await page.goto(`${onsite.base}/crm/`);
      const token = (await page.context().cookies()).find((cookie) => cookie.name === "XSRF-TOKEN").value;
      assert.equal(await page.locator("#XSRF_TOKEN").inputValue(), token);
    });

    await check("S25 axios in that page copies the XSRF-TOKEN cookie by itself, on GET and on POST", async () => {
      await page.addScriptTag({ path: AXIOS });
      assert.deepEqual(await axiosGet(page, contact), [200, 2]);
      const agent = "/api/v1/Agents/Contact/GetContactEntity?contactEntityId=2";
      assert.deepEqual(await axiosGet(page, agent, "post"), [200, 2]);
    });

    await check("S26 S28 a call without the header: 401, and no dialog asks for a password", async () => {
      const found = await page.evaluate(async (url) => {
        const answer = await fetch(url);
        return [answer.status, answer.headers.get("www-authenticate")];
      }, contact);
      assert.deepEqual(found, [401, null]);
    });

    await check("S21 a page of another origin cannot ride on the session", async () => {
      const other = await page.context().newPage();
      await other.goto(`${api("shop").base}/baskets/PRIMARY`);
      const found = await other.evaluate((url) => fetch(url, { credentials: "include" }).then((answer) => answer.status, () => "blocked"), onsite.base + contact);
      assert.equal(found, "blocked");
      await other.close();
    });

    await check("S30 sign-out leads to the sign-in page; cookie and token are dead", async () => {
      const before = await page.context().cookies();
      await page.getByRole("link", { name: "Sign out" }).click();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.waitForURL(`${onsite.base}/login`);
      assert.deepEqual(await page.context().cookies(), []);
      await page.context().addCookies(before);
      const token = before.find((cookie) => cookie.name === "XSRF-TOKEN").value;
      const answer = await page.request.get(onsite.base + contact, { headers: { "X-XSRF-TOKEN": token } });
      assert.equal(answer.status(), 401);
      await page.goto(home);
      assert.match(page.url(), /\/login\?return_to=/);
    });

    await check("a way back to another origin is not followed", async () => {
      for (const there of ["http://127.0.0.2:1/", "//127.0.0.2:1/", "/\\127.0.0.2:1/"]) {
        await page.context().clearCookies();
        await page.goto(`${onsite.base}/login?return_to=${encodeURIComponent(there)}`);
        if (page.url().startsWith(`${onsite.base}/login`) && await page.getByLabel("User name").count()) {
          await signIn(page);
          await page.waitForLoadState("load");
        }
        assert.equal(new URL(page.url()).origin, onsite.base);
      }
    });
  });
}

main().then(finish, (error) => {
  console.log(`FAIL the browser: ${error.message}`);
  process.exitCode = 1;
});
