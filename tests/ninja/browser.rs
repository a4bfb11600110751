//! The pages of `report` and `graph --html` as somebody uses them: keys, clicks and the wheel,
//! through the DevTools protocol (chromedevtools.github.io/devtools-protocol).
//!
//! The tests, whose names say `chromium`, need Debian's `chromium`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::space::{Space, ninjas};

/// A page in a headless browser. The protocol goes over two pipes: messages end with a zero byte.
struct Page {
    browser: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    last: u64,
    session: Option<String>,
    /// What the page complained of.
    complaints: Vec<Value>,
    _profile: TempDir,
}

impl Page {
    fn open(space: &Space, file: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let options = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                       --disable-background-networking --window-size=1200,900 --remote-debugging-pipe";
        // It reads descriptor 3 and writes 4.
        let script = format!("exec chromium {options} --user-data-dir=\"$0\" about:blank 3<&0 4>&1");
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(profile.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut browser = command.stderr(Stdio::null()).spawn().unwrap();
        let (to, from) = (browser.stdin.take().unwrap(), BufReader::new(browser.stdout.take().unwrap()));
        let complaints = Vec::new();
        let mut page = Self { browser, to, from, last: 0, session: None, complaints, _profile: profile };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = page.call("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        page.session = Some(session);
        page.call("Runtime.enable", json!({}));
        page.call("Log.enable", json!({}));
        page.call("Page.navigate", json!({"url": format!("file://{}", space.path(file).display())}));
        page.wait_for("document.documentElement?.dataset.ready === 'yes'");
        page
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).unwrap();
            let answer: Value = serde_json::from_slice(answer.strip_suffix(b"\0").expect("it ended")).unwrap();
            if answer["id"] == self.last {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            if answer["method"] == "Runtime.exceptionThrown" || answer["params"]["entry"]["level"] == "error" {
                self.complaints.push(answer);
            }
        }
    }

    /// The value of an expression.
    fn value(&mut self, expression: &str) -> Value {
        let result = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    fn wait_for(&mut self, expression: &str) {
        for _ in 0..1000 {
            if self.value(expression) == true {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it never came to `{expression}`");
    }

    /// The middle of an element, in the window.
    fn middle(&mut self, element: &str) -> (f64, f64) {
        self.value(&format!("{element}.scrollIntoView({{block: 'center'}})"));
        let at = format!(
            "(() => {{ const at = {element}.getBoundingClientRect(); return [at.x + at.width / 2, at.y + at.height / 2]; }})()"
        );
        let at = self.value(&at);
        (at[0].as_f64().unwrap(), at[1].as_f64().unwrap())
    }

    fn mouse(&mut self, kind: &str, (x, y): (f64, f64), more: &Value) {
        let mut event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.call("Input.dispatchMouseEvent", event);
    }

    fn click(&mut self, element: &str, count: u32) {
        let at = self.middle(element);
        for count in 1..=count {
            for kind in ["mousePressed", "mouseReleased"] {
                self.mouse(kind, at, &json!({"clickCount": count}));
            }
        }
    }

    fn wheel(&mut self, element: &str) {
        let at = self.middle(element);
        self.mouse("mouseWheel", at, &json!({"deltaX": 0, "deltaY": -120, "button": "none"}));
    }

    /// Presses `/`, which goes to the search, and types.
    fn search(&mut self, word: &str) {
        self.value("document.activeElement.blur()");
        self.call("Input.dispatchKeyEvent", json!({"type": "keyDown", "key": "/", "text": "/"}));
        assert_eq!(self.value("document.activeElement.id"), "search");
        self.call("Input.insertText", json!({"text": word}));
        assert_eq!(self.value("document.getElementById('search').value"), word);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.browser.kill();
        let _ = self.browser.wait();
        if !thread::panicking() {
            assert!(self.complaints.is_empty(), "{:?}", self.complaints);
        }
    }
}

#[test]
#[ignore = "needs chromium"]
fn a_graph_is_searched_zoomed_and_asked_in_chromium() {
    let space = Space::new(&ninjas()[0]);
    let page = space.run(&["graph", "x86_64-linux/greeting", "--depth", "2", "--html"]);
    fs::write(space.path("graph.html"), page).unwrap();
    let mut page = Page::open(&space, "graph.html");
    let edges = "document.querySelectorAll('[data-edge]').length";
    assert!(page.value("boxes.size").as_u64() > Some(3) && page.value(edges).as_u64() > Some(2));
    let width = "svg.viewBox.baseVal.width";
    let before = page.value(width).as_f64().unwrap();
    page.wheel("view");
    page.wait_for(&format!("Math.abs({width} / {before} - 0.8) < 0.01"));
    page.search("words.o");
    page.wait_for("count.value.startsWith('1 of ')");
    assert_eq!(page.value("document.querySelectorAll('[data-box]:not(.dim)').length"), 1);
    page.click("document.querySelector('[data-box]:not(.dim)')", 1);
    page.wait_for("details.value.startsWith('x86_64-linux/greeting/words.o: needs ')");
    let lit = page.value("document.querySelectorAll('[data-edge].lit').length");
    assert_eq!(lit, page.value("(() => { const one = boxes.get(document.querySelector('.chosen').dataset.box); return one.needs.size + one.users.size; })()"));
    page.click("view", 2);
    page.wait_for(&format!("Math.abs({width} - {before}) < 0.01"));
}

#[test]
#[ignore = "needs chromium"]
fn a_report_is_searched_and_zoomed_in_chromium() {
    let space = Space::new(&ninjas()[0]);
    space.generate();
    space.build();
    space.run(&["report", "report.html"]);
    let mut page = Page::open(&space, "report.html");
    for canvas in ["timeline", "graph"] {
        let element = format!("document.getElementById('{canvas}')");
        page.middle(&element);
        let picture = format!("{element}.toDataURL()");
        let before = page.value(&picture);
        page.wheel(&element);
        page.wait_for(&format!("{picture} !== '{}'", before.as_str().unwrap()));
    }
    page.search("x86_64-linux/greeting/words.o");
    page.wait_for("document.querySelectorAll('#found li').length === 1");
    page.click("document.querySelector('#found li')", 1);
    page.wait_for("!document.getElementById('details').hidden");
    let details = page.value("document.getElementById('details').textContent");
    assert!(details.as_str().unwrap().contains("x86_64-linux/greeting/words.o"), "{details}");
}
