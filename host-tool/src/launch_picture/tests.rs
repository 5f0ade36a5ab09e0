use std::os::unix::fs::PermissionsExt;

use ha_cluster_file::cluster::Cluster;
use ha_flatcar_image::Bar as DownloadBar;
use ha_test_support::demo_cluster;
use ha_wire::event::WaitsOn;
use ha_wire::settings::LbMode;
use serde_json::json;

use super::kept::{Fact, KeptEnd, KeptFact, parse_facts};
use super::story::{LaunchStory, StretchKind};
use super::*;
use crate::launch::report::{End, LaunchEvent, Report};
use crate::progress::pull::SilentBar;
use crate::state::StateRoot;

/// Kept of real launches, as the first release keeps them; they never change.
const GOOD: &str = include_str!("../../tests/fixtures/launch-v1/good.jsonl");
const FAILING: &str = include_str!("../../tests/fixtures/launch-v1/failing.jsonl");

fn parse_story(text: &str) -> LaunchStory {
    LaunchStory::of_facts(&parse_facts(text).unwrap())
}

#[test]
fn a_good_launch_is_read_from_what_was_kept_of_it() {
    let story = parse_story(GOOD);
    assert_eq!(story.end, Some(KeptEnd::Ready));
    let labels = |node: usize| {
        let bars = story.rows[node].bars.iter();
        bars.map(|b| format!("{:?} {}", b.kind, b.stage))
            .collect::<Vec<_>>()
    };
    let turn = ["Work join", "Wait join", "Wait join", "Work join"];
    assert!(labels(2).windows(4).any(|w| w == turn), "{:?}", labels(2));
    assert_eq!(
        labels(3)[..2],
        ["Boot making", "Boot boot"].map(str::to_owned)
    );
    let wait = story.rows[2]
        .bars
        .iter()
        .find(|b| matches!(b.on, Some(WaitsOn::Lease { .. })));
    let wait = wait.unwrap();
    assert_eq!(
        (wait.kind, wait.from, wait.to),
        (StretchKind::Wait, 117_417, 150_018)
    );
    for row in &story.rows {
        assert!(
            row.bars.windows(2).all(|two| two[0].to <= two[1].from),
            "{row:?}"
        );
        assert!(row.steady_at.is_some() && row.marks.is_empty(), "{row:?}");
    }
}

#[test]
fn where_a_node_is_is_written_as_it_always_was() {
    let moved = GOOD.lines().filter(|l| l.contains(r#""fact":"moved""#));
    let moved: Vec<&str> = moved.collect();
    assert!(moved.len() > 9, "{moved:?}");
    for line in moved {
        let fact: KeptFact = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&fact).unwrap(), line);
    }
}

#[test]
fn a_failure_stands_where_it_happened_with_its_words() {
    let story = parse_story(FAILING);
    assert_eq!(story.end, Some(KeptEnd::Failed));
    let [mark] = &story.rows[1].marks[..] else {
        panic!("{:?}", story.rows[1].marks);
    };
    assert!(mark.fatal && mark.at == 959);
    let page = page::render_page(&story);
    let words = "port 10250: taken by busybox, kubelet needs it -&gt; stop busybox";
    assert!(
        page.contains(&format!("preflight failed: {words}")),
        "{page}"
    );
    assert!(page.contains("<h3>node2: preflight failed</h3>"), "{page}");
    assert!(
        page.contains("e2e-failing: <span class=\"bad\">failed after"),
        "{page}"
    );
}

/// The chart as a document: whoever is looked for must be there.
fn chart_of(story: &LaunchStory) -> String {
    chart::draw_chart(story)
}

#[test]
fn a_wait_has_a_line_to_the_row_that_held_it_up() {
    let story = parse_story(GOOD);
    let text = chart_of(&story);
    let document = roxmltree::Document::parse(&text).unwrap();
    let titled = |class: &str| {
        let groups = document
            .descendants()
            .filter(|n| n.attribute("class") == Some(class));
        groups
            .filter_map(|n| n.children().find(|c| c.has_tag_name("title"))?.text())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let links = titled("link");
    assert_eq!(links[0], "node3 waited 32 s for node2");
    assert_eq!(links.len(), 2, "{links:?}");
    let api = titled("api");
    assert!(
        api[0].starts_with("the API answers at 10.77.0.30:6444, "),
        "{api:?}"
    );
    let names: Vec<_> = document
        .descendants()
        .filter_map(|n| n.attribute("data-node"))
        .collect();
    assert_eq!(names, ["node1", "node2", "node3", "node4", "node5"]);
}

#[test]
fn words_of_nodes_are_text_and_nothing_else() {
    let evil = "</title><script>alert(1)</script>\" onload='x' \u{202e}\u{1b}[31m &amp;";
    let mut facts = parse_facts(FAILING).unwrap();
    for fact in &mut facts {
        match &mut fact.what {
            Fact::Begun { nodes, vip, .. } => {
                nodes[0].address = evil.to_owned();
                *vip = evil.to_owned();
            }
            Fact::Said { event } => {
                if let ha_wire::event::EventKind::Failed { error, tail, .. } = &mut event.what {
                    *error = evil.to_owned();
                    tail.push(evil.to_owned());
                }
            }
            Fact::Ended { failed, words, .. } => {
                failed[0].words = vec![evil.to_owned()];
                words.push(evil.to_owned());
            }
            _ => {}
        }
    }
    let page = page_of_facts(&facts);
    for bad in [
        "<script",
        "onload='",
        "\" onload",
        "\u{202e}",
        "\u{1b}",
        "&amp; &amp;amp",
    ] {
        assert!(!page.contains(bad), "{bad:?}");
    }
    assert!(
        page.matches("&lt;script&gt;alert(1)").count() >= 4,
        "{page}"
    );
    roxmltree::Document::parse(&chart_of(&LaunchStory::of_facts(&facts))).unwrap();
}

#[test]
fn nothing_of_the_page_comes_from_elsewhere() {
    for text in [GOOD, FAILING] {
        let page = page_of_facts(&parse_facts(text).unwrap());
        for outside in [
            "src=", "href=", "@import", "url(http", "<script", "<link", "<img", "<iframe",
        ] {
            assert!(!page.contains(outside), "{outside}");
        }
        let tags = page.split('<').filter_map(|rest| rest.split_once('>'));
        for (tag, _) in tags.filter(|(tag, _)| tag.contains("http")) {
            let known = tag.contains("xmlns=") || tag.contains("http-equiv=");
            assert!(known, "{tag}");
        }
        assert!(page.contains("<html lang=\"en\">") && page.contains("default-src 'none'"));
    }
}

#[test]
fn facts_of_another_version_are_refused_and_a_torn_line_is_passed_over() {
    let torn = &GOOD[..GOOD.len() - 40];
    let story = parse_story(torn);
    assert_eq!((story.end, story.rows.len()), (None, 5));
    assert!(page_of_facts(&parse_facts(torn).unwrap()).contains("its end was not seen"));
    let newer = GOOD.replace("{\"version\":1,\"atMs\"", "{\"version\":2,\"atMs\"");
    let error = parse_facts(&newer).unwrap_err().to_string();
    assert!(
        error.starts_with("version 2 is not known to this ha-host (it knows 1)"),
        "{error}"
    );
    assert!(parse_facts("").is_err());
    let unknown =
        GOOD.to_owned() + "{\"version\":1,\"atMs\":9,\"fact\":\"moon\",\"phase\":\"full\"}\n";
    assert_eq!(
        parse_facts(&unknown).unwrap().last().unwrap().what,
        Fact::Other
    );
}

/// Keeps what it is told, as words.
#[derive(Default, Clone)]
struct Told(std::rc::Rc<std::cell::RefCell<Vec<String>>>);

impl Report for Told {
    fn tell(&mut self, happened: &LaunchEvent<'_>) {
        let words = match happened {
            LaunchEvent::Warning(words) => format!("warning: {words}"),
            LaunchEvent::PictureWritten(path) => format!("picture {}", path.display()),
            LaunchEvent::Ended(_) => "end".to_owned(),
            _ => return,
        };
        self.0.borrow_mut().push(words);
    }
    fn download_bar(&self) -> Box<dyn DownloadBar> {
        Box::new(SilentBar)
    }
}

fn interrupted_demo(dir: &ClusterDir, told: &Told) -> PictureReport {
    interrupted_of(&demo_cluster(), dir, told)
}

fn interrupted_of(cluster: &Cluster, dir: &ClusterDir, told: &Told) -> PictureReport {
    let mut report = PictureReport::new(Box::new(told.clone()));
    report.tell(&LaunchEvent::Begun(cluster));
    report.tell(&LaunchEvent::StateHeld(dir));
    report.tell(&LaunchEvent::Ended(&End::Interrupted("demo.yaml".into())));
    report
}

#[test]
fn every_launch_leaves_its_facts_and_their_picture() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateRoot::new(Some(temp.path())).unwrap().dir("demo");
    files::make_dir(dir.path()).unwrap();
    std::fs::write(dir.launch_facts(), "an earlier launch").unwrap();
    let told = Told::default();
    interrupted_demo(&dir, &told);
    let picture = dir.launch_picture();
    let expected = [format!("picture {}", picture.display()), "end".to_owned()];
    assert_eq!(*told.0.borrow(), expected);
    for path in [&picture, &dir.launch_facts()] {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    let page = std::fs::read_to_string(&picture).unwrap();
    assert!(
        page.contains("demo: <span class=\"bad\">interrupted after"),
        "{page}"
    );
    assert_eq!(
        picture_of(&dir).unwrap(),
        page,
        "drawn again it is the same"
    );
}

#[test]
fn the_address_of_somebody_elses_balancer_is_called_the_endpoint() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateRoot::new(Some(temp.path())).unwrap().dir("demo");
    files::make_dir(dir.path()).unwrap();
    let mut cluster = demo_cluster();
    for (mode, words) in [
        (LbMode::Native, ", VIP 10.77.0.30:6444,"),
        (LbMode::External, ", endpoint 10.77.0.30:6444,"),
    ] {
        cluster.load_balancer.mode = mode;
        interrupted_of(&cluster, &dir, &Told::default());
        let page = std::fs::read_to_string(dir.launch_picture()).unwrap();
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn a_picture_that_cannot_be_written_fails_no_launch() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateRoot::new(Some(temp.path())).unwrap().dir("demo");
    files::make_dir(dir.path()).unwrap();
    std::fs::create_dir(dir.launch_picture()).unwrap();
    let told = Told::default();
    interrupted_demo(&dir, &told);
    let told = told.0.borrow();
    assert!(
        told[0].starts_with("warning: this launch leaves no picture: "),
        "{told:?}"
    );
    assert_eq!(told[1..], ["end"]);
}

#[test]
fn nodes_that_talk_without_end_are_kept_within_bounds_and_the_end_always() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateRoot::new(Some(temp.path())).unwrap().dir("demo");
    files::make_dir(dir.path()).unwrap();
    let told = Told::default();
    let mut report = PictureReport::new(Box::new(told));
    report.tell(&LaunchEvent::Begun(&demo_cluster()));
    report.tell(&LaunchEvent::StateHeld(&dir));
    for (event, field) in [("waiting", "lastError"), ("failed", "error")] {
        let mut words = json!({"version": 1, "seq": 1, "timeMs": 0, "node": "node1", "event": event, "phase": "gate",
            "what": "", "attempt": 1, "tail": [], "retryMs": 1});
        words[field] = json!("x".repeat(50_000));
        let event = ha_wire::event::Event::parse(&words.to_string()).unwrap();
        for _ in 0..400 {
            report.tell(&LaunchEvent::NodeSaid(&event));
        }
    }
    report.tell(&LaunchEvent::Ended(&End::Interrupted("demo.yaml".into())));
    let text = std::fs::read_to_string(dir.launch_facts()).unwrap();
    assert!(text.len() < 9_000_000, "{} bytes", text.len());
    let facts = parse_facts(&text).unwrap();
    assert!(matches!(facts.last().unwrap().what, Fact::Ended { .. }));
}
