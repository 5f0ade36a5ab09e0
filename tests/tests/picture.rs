//! The picture that a launch leaves, as a browser draws it: `ha-host report` makes it from facts of real launches, a headless
//! Chromium opens it and measures what is there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ha_tests::lab::{built_ha_host, workspace_root};
use ha_tests::process::{FinishedProcess, run_to_end};
use serde_json::{Value, json};

/// Starting a browser on a busy machine.
const BROWSER: Duration = Duration::from_secs(180);
const SHORT: Duration = Duration::from_secs(30);
/// The window that people are taken to have.
const WIDTH: u32 = 1280;

/// Written into the page for the test alone: says where everything is.
const MEASURE: &str = r##"<script>
const box = e => { const r = e.getBoundingClientRect(); return {x: r.left, y: r.top, r: r.right, b: r.bottom}; };
const all = (q, in_) => [...(in_ || document).querySelectorAll(q)];
const rows = all("svg.chart g.row").map(g => ({
  node: g.dataset.node, name: {text: g.querySelector("text.name").lastChild.textContent.trim(), ...box(g.querySelector("text.name"))},
  bars: all("rect.bar", g).map(b => ({title: b.textContent.trim().split("\n")[0], ...box(b)})), texts: all("text", g).map(t => ({text: t.lastChild.textContent, cls: t.getAttribute("class"), ...box(t)})),
}));
const style = q => { const e = document.querySelector(q); return e ? getComputedStyle(e) : null; };
const found = {rows, width: document.documentElement.clientWidth, scroll: document.documentElement.scrollWidth, h1: document.querySelector("h1").textContent,
  background: style("body").backgroundColor, ink: style("body").color, work: (style("rect.bar.work") || {}).fill, links: all("svg .link line").map(box), marks: all(".row .mark").length};
const out = document.createElement("pre"); out.id = "measured"; out.textContent = JSON.stringify(found); document.body.append(out);
</script></body>"##;

/// Debian's name for it; none: this machine has no browser, and nothing that is drawn can be looked at.
fn find_chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join("chromium"))
        .find(|p| p.is_file());
    if found.is_none() {
        eprintln!(
            "SKIPPED: nothing looks at what is drawn: no `chromium` here; `lab/need.sh browser` installs it"
        );
    }
    found
}

struct StateFixture(tempfile::TempDir);

impl StateFixture {
    /// A state directory with one cluster, whose last launch left these facts.
    fn with_facts(facts: &str) -> Self {
        let fixture = Self(tempfile::tempdir().expect("a directory"));
        let dir = fixture.path("state/demo");
        std::fs::create_dir_all(&dir).expect("state");
        let record = json!({"version": 1, "name": "demo", "createdMs": 0, "life": "standing", "founded": true, "base": "/", "file": "demo.yaml"});
        std::fs::write(dir.join("state.json"), record.to_string()).expect("record");
        std::fs::write(dir.join("launch.jsonl"), facts).expect("facts");
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn report(&self, words: &[&OsStr]) -> FinishedProcess {
        let mut command = Command::new(built_ha_host().expect("ha-host builds"));
        command
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(["report", "demo"])
            .args(words);
        run_to_end(command, SHORT).expect("ha-host runs")
    }

    /// The page, by the verb.
    fn page(&self) -> String {
        self.report(&[]).ok().expect("a page");
        std::fs::read_to_string(self.path("state/demo/launch.html")).expect("launch.html")
    }

    fn browse(&self, browser: &Path, page: &str, words: &[&str]) -> String {
        let file = self.path("page.html");
        std::fs::write(&file, page).expect("page");
        let mut command = Command::new(browser);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
        ]);
        command.arg(format!(
            "--user-data-dir={}",
            self.path("profile").display()
        ));
        command
            .args(words)
            .arg(format!("file://{}", file.display()));
        run_to_end(command, BROWSER)
            .and_then(FinishedProcess::ok)
            .expect("the browser ends well")
            .stdout
    }

    /// What a browser has drawn, measured at this size.
    fn measure(&self, browser: &Path, page: &str, more: &[&str]) -> Value {
        // The page's own policy would not let the test's script run.
        let open = page.replacen("default-src 'none'", "default-src 'unsafe-inline'", 1);
        assert_ne!(open, page, "the page has a policy");
        let page = open.replacen("</body>", MEASURE, 1);
        let size = format!("--window-size={WIDTH},2400");
        let words: Vec<&str> = [&["--dump-dom", &size][..], more].concat();
        let dom = self.browse(browser, &page, &words);
        let (_, rest) = dom
            .split_once("<pre id=\"measured\">")
            .unwrap_or_else(|| panic!("not measured: {dom}"));
        let (text, _) = rest.split_once("</pre>").expect("an end");
        let text = text
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }
}

fn read_fixture(name: &str) -> String {
    let path = workspace_root()
        .join("host-tool/tests/fixtures/launch-v1")
        .join(name);
    std::fs::read_to_string(path).expect("a fixture")
}

/// The good launch with so many nodes: more workers that did what its worker did.
fn with_nodes(count: usize) -> String {
    let mut lines = Vec::new();
    for line in read_fixture("good.jsonl").lines() {
        let mut fact: Value = serde_json::from_str(line).expect("a fact");
        if fact["fact"] == "begun" {
            let nodes = fact["nodes"].as_array_mut().expect("nodes");
            for number in nodes.len() + 1..=count {
                nodes.push(json!({"name": format!("node{number}"), "role": "worker", "address": format!("10.77.1.{number}")}));
            }
        }
        lines.push(fact.clone());
        let is_worker = fact["node"] == "node4" || fact["event"]["node"] == "node4";
        for number in (6..=count).filter(|_| is_worker) {
            let (name, mut copy) = (format!("node{number}"), fact.clone());
            let late = fact["atMs"].as_u64().expect("a time") + number as u64 * 37 % 900;
            copy["atMs"] = json!(late);
            if fact["fact"] == "moved" {
                copy["node"] = json!(name);
            } else {
                copy["event"]["node"] = json!(name);
            }
            lines.push(copy);
        }
    }
    lines.sort_by_key(|line| (line["fact"] == "ended", line["atMs"].as_u64()));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn number_of(value: &Value, name: &str) -> f64 {
    value[name]
        .as_f64()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn list_of<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name]
        .as_array()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// No bar over another of its row, no row over another, no words over others, every name to be read, nothing outside.
fn assert_well_drawn(drawn: &Value, nodes: usize) {
    assert!(
        number_of(drawn, "scroll") <= number_of(drawn, "width"),
        "wider than the window: {}",
        drawn["scroll"]
    );
    let rows = list_of(drawn, "rows");
    assert_eq!(rows.len(), nodes);
    for row in rows {
        let (name, node) = (&row["name"], &row["node"]);
        assert_eq!(name["text"], *node, "the whole name is shown");
        assert!(
            number_of(name, "b") - number_of(name, "y") >= 8.0,
            "{node}'s name is too small to be read: {name}"
        );
        for two in list_of(row, "bars").windows(2) {
            assert!(
                number_of(&two[0], "r") <= number_of(&two[1], "x") + 0.6,
                "{node}: bars overlap: {two:?}"
            );
        }
        for bar in list_of(row, "bars") {
            assert!(
                number_of(name, "r") < number_of(bar, "x"),
                "{node}'s name runs into its bars: {name} {bar}"
            );
        }
        let texts = list_of(row, "texts");
        for (index, text) in texts.iter().enumerate() {
            assert!(
                number_of(text, "x") >= 0.0 && number_of(text, "r") <= f64::from(WIDTH),
                "{node}: outside: {text}"
            );
            for other in &texts[index + 1..] {
                let apart = number_of(text, "r") <= number_of(other, "x") + 0.5
                    || number_of(other, "r") <= number_of(text, "x") + 0.5
                    || number_of(text, "b") <= number_of(other, "y") + 2.5
                    || number_of(other, "b") <= number_of(text, "y") + 2.5;
                assert!(apart, "{node}: words over words: {text} {other}");
            }
        }
    }
    for two in rows.windows(2) {
        let lowest = list_of(&two[0], "bars")
            .iter()
            .map(|b| number_of(b, "b"))
            .fold(0.0, f64::max);
        let highest = list_of(&two[1], "bars")
            .iter()
            .map(|b| number_of(b, "y"))
            .fold(f64::MAX, f64::min);
        assert!(
            lowest < highest,
            "{} runs into {}",
            two[0]["node"],
            two[1]["node"]
        );
    }
}

#[test]
fn five_nodes_and_a_hundred_are_drawn_well() {
    let Some(browser) = find_chromium() else {
        return;
    };
    for nodes in [5, 100] {
        let fixture = StateFixture::with_facts(&with_nodes(nodes));
        let drawn = fixture.measure(&browser, &fixture.page(), &[]);
        assert_well_drawn(&drawn, nodes);
        assert_eq!(list_of(&drawn, "links").len(), 2, "node3 waited for node2");
        assert_eq!(drawn["h1"], "picture: ready in 3 min 13 s");
    }
}

#[test]
fn a_failure_is_drawn_in_its_place() {
    let Some(browser) = find_chromium() else {
        return;
    };
    let fixture = StateFixture::with_facts(&read_fixture("failing.jsonl"));
    let drawn = fixture.measure(&browser, &fixture.page(), &[]);
    assert_well_drawn(&drawn, 2);
    assert_eq!(drawn["marks"], 1);
    let texts = list_of(&list_of(&drawn, "rows")[1], "texts");
    let words = texts
        .iter()
        .find(|t| t["cls"] == "failed")
        .expect("the mark has its words");
    let words = words["text"].as_str().unwrap_or_default();
    assert!(
        words.starts_with("preflight failed: port 10250: taken by busybox"),
        "{words}"
    );
}

#[test]
fn light_and_dark_differ_and_a_page_can_be_printed() {
    let Some(browser) = find_chromium() else {
        return;
    };
    let fixture = StateFixture::with_facts(&read_fixture("good.jsonl"));
    let page = fixture.page();
    let light = fixture.measure(
        &browser,
        &page,
        &["--blink-settings=preferredColorScheme=1"],
    );
    let dark = fixture.measure(
        &browser,
        &page,
        &["--blink-settings=preferredColorScheme=0"],
    );
    for part in ["background", "ink", "work"] {
        assert_ne!(light[part], dark[part], "{part}");
    }
    let pdf = fixture.path("page.pdf");
    fixture.browse(
        &browser,
        &page,
        &[
            "--no-pdf-header-footer",
            &format!("--print-to-pdf={}", pdf.display()),
        ],
    );
    let bytes = std::fs::read(&pdf).expect("a PDF");
    assert!(
        bytes.starts_with(b"%PDF-") && bytes.len() > 10_000,
        "{} bytes",
        bytes.len()
    );
}

#[test]
fn a_file_of_somebody_is_never_replaced_unasked() {
    let fixture = StateFixture::with_facts(&read_fixture("good.jsonl"));
    let file = fixture.path("mine.html");
    std::fs::write(&file, "mine").expect("a file");
    let [output, force] = ["--output", "--force"].map(OsStr::new);
    let refused = fixture.report(&[output, file.as_os_str()]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("exists and was not touched; --force replaces it"),
        "{refused:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).expect("it"), "mine");
    fixture
        .report(&[output, file.as_os_str(), force])
        .ok()
        .expect("replaced");
    assert!(
        std::fs::read_to_string(&file)
            .expect("it")
            .starts_with("<!DOCTYPE html>")
    );
    std::fs::remove_file(fixture.path("state/demo/launch.jsonl")).expect("there");
    let nothing = fixture.report(&[]);
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
    assert!(
        nothing.stderr.contains("nothing is kept of a launch"),
        "{nothing:?}"
    );
}
