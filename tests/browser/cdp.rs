//! A client of the Chrome DevTools protocol over the browser's debugging pipe: messages of JSON, each ended by a zero.
//!
//! The pipe needs no port and no WebSocket. The browser expects it on the descriptors 3 and 4; a shell puts it there.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

const ANSWER: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
    to: ChildStdin,
    from: mpsc::Receiver<Value>,
    next: u64,
    /// Everything that the browser said without being asked.
    pub(crate) events: Vec<Value>,
}

/// One page of the browser, by its session.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) session: String,
    pub(crate) target: String,
}

/// The browser's program, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    let named = std::env::var_os("PAYSTATE_CHROMIUM").map(PathBuf::from);
    let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    named.into_iter().chain(usual.map(PathBuf::from)).find(|path| path.is_file())
}

impl Browser {
    pub(crate) async fn start(program: &Path) -> Result<Self, Failure> {
        let profile = tempfile::tempdir()?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 1>/dev/null 2>/dev/null"#])
            .arg(program)
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"])
            // The sandbox's authority is made anew at each start. Every other host is unreachable on purpose.
            .args(["--ignore-certificate-errors", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let to = child.stdin.take().ok_or("no pipe to the browser")?;
        let from = listen(child.stdout.take().ok_or("no pipe from the browser")?);
        let mut browser = Self { child, _profile: profile, to, from, next: 0, events: Vec::new() };
        browser.call(None, "Target.setDiscoverTargets", json!({ "discover": true })).await?;
        Ok(browser)
    }

    pub(crate) async fn open(&mut self, url: &str, width: u32, height: u32) -> Result<Page, Failure> {
        let made = self.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await?;
        let page = self.attach(made["targetId"].as_str().ok_or("no target")?).await?;
        self.resize(&page, width, height).await?;
        self.call(Some(&page), "Page.navigate", json!({ "url": url })).await?;
        Ok(page)
    }

    /// Waits for a page that another page has opened.
    pub(crate) async fn opened(&mut self, url_begins: &str) -> Result<Page, Failure> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let targets = self.call(None, "Target.getTargets", json!({})).await?;
            let found = targets["targetInfos"].as_array().into_iter().flatten().find(|target| {
                target["type"] == "page" && target["url"].as_str().is_some_and(|url| url.starts_with(url_begins))
            });
            if let Some(id) = found.and_then(|target| target["targetId"].as_str()) {
                return self.attach(id).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("no page was opened at {url_begins}").into())
    }

    pub(crate) async fn close(&mut self, page: &Page) -> Result<(), Failure> {
        self.call(None, "Target.closeTarget", json!({ "targetId": page.target })).await.map(drop)
    }

    async fn attach(&mut self, target: &str) -> Result<Page, Failure> {
        let attached = self.call(None, "Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await?;
        let session = attached["sessionId"].as_str().ok_or("no session")?.to_owned();
        let page = Page { session, target: target.to_owned() };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(Some(&page), &format!("{domain}.enable"), json!({})).await?;
        }
        Ok(page)
    }

    pub(crate) async fn resize(&mut self, page: &Page, width: u32, height: u32) -> Result<(), Failure> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call(Some(page), "Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    pub(crate) async fn dark(&mut self, page: &Page, dark: bool) -> Result<(), Failure> {
        let value = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call(Some(page), "Emulation.setEmulatedMedia", media).await.map(drop)
    }

    /// Evaluates an expression as if a person had caused it.
    pub(crate) async fn evaluate(&mut self, page: &Page, expression: &str) -> Result<Value, Failure> {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self.call(Some(page), "Runtime.evaluate", parameters).await?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(format!("{expression}: {details}").into()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true.
    pub(crate) async fn wait(&mut self, page: &Page, expression: &str) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.evaluate(page, &format!("Boolean({expression})")).await.is_ok_and(|found| found == true) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let text = self.evaluate(page, "document.body.innerText").await?;
        Err(format!("waited in vain for {expression}; the page says: {text}").into())
    }

    /// Waits for an element and clicks it.
    pub(crate) async fn click(&mut self, page: &Page, selector: &str) -> Result<(), Failure> {
        let element = format!("document.querySelector({})", json!(selector));
        self.wait(page, &element).await?;
        self.evaluate(page, &format!("{element}.click()")).await.map(drop)
    }

    /// Saves the whole page as a picture.
    pub(crate) async fn screenshot(&mut self, page: &Page, file: &Path) -> Result<(), Failure> {
        let what = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.call(Some(page), "Page.captureScreenshot", what).await?;
        let text = shot["data"].as_str().ok_or("no picture")?;
        let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text)?;
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, bytes)?;
        Ok(())
    }

    /// Calls a method of the protocol; what comes in between is kept in `events`.
    pub(crate) async fn call(
        &mut self,
        page: Option<&Page>,
        method: &str,
        parameters: Value,
    ) -> Result<Value, Failure> {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(page) = page {
            message["sessionId"] = json!(page.session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.to.write_all(&bytes)?;
        self.to.flush()?;
        let end = tokio::time::Instant::now() + ANSWER;
        loop {
            let answer = tokio::time::timeout_at(end, self.from.recv()).await;
            let answer = answer.map_err(|_| format!("no answer to {method}"))?.ok_or("the browser has ended")?;
            if answer["id"] != id {
                self.events.push(answer);
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(format!("{method}: {error}").into()),
                None => Ok(answer["result"].clone()),
            };
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The shell has become the browser, so this is its main process; the others end with it.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Reads messages on a thread of its own until the browser ends.
fn listen(from: ChildStdout) -> mpsc::Receiver<Value> {
    let (to, messages) = mpsc::channel(4096);
    std::thread::spawn(move || {
        for message in BufReader::new(from).split(0).map_while(Result::ok) {
            let Ok(message) = serde_json::from_slice(&message) else { return };
            if to.blocking_send(message).is_err() {
                return;
            }
        }
    });
    messages
}
