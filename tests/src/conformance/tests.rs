use super::report::results_table;
use super::*;

/// Entries as ginkgo 2.28 writes them; what is not read is left out.
const REPORT: &str = r#"[{"SuiteSucceeded": false, "SpecialSuiteFailureReasons": null, "SpecReports": [
  {"ContainerHierarchyTexts": null, "LeafNodeType": "SynchronizedBeforeSuite", "LeafNodeText": "", "State": "passed", "RunTime": 5, "EndTime": "x"},
  {"ContainerHierarchyTexts": ["[sig-apps] Deployment"], "LeafNodeType": "It", "LeafNodeText": "should roll [Conformance]",
   "State": "passed", "RunTime": 1500000000, "EndTime": "2026-11-26T20:01:02.5Z"},
  {"ContainerHierarchyTexts": ["[sig-apps] Job"], "LeafNodeType": "It", "LeafNodeText": "should end [Conformance]",
   "State": "failed", "RunTime": 2000000000, "EndTime": "2026-11-26T20:01:05.5Z",
   "Failure": {"Message": "connection reset by peer\n", "TimelineLocation": {"Time": "2026-11-26T20:01:04.5Z"}}},
  {"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "LeafNodeText": "x", "State": "skipped", "RunTime": 0, "EndTime": "x"}
]}]"#;

#[test]
fn a_report_holds_what_was_run() {
    let report = SuiteReport::parse(REPORT).unwrap();
    assert_eq!(report.tests.len(), 2);
    assert!(!report.has_failed("[sig-apps] Deployment should roll [Conformance]"));
    let (test, failure) = report.failed().next().unwrap();
    assert_eq!(test.name, "[sig-apps] Job should end [Conformance]");
    assert_eq!(failure.time, "20:01:04");
    assert_eq!(failure.message, "failed: connection reset by peer");
    assert!(report.has_failed(&test.name));
}

#[test]
fn what_stands_around_the_tests_is_reported_if_it_fails() {
    let broken = REPORT.replacen(r#""State": "passed""#, r#""State": "failed""#, 1);
    let report = SuiteReport::parse(&broken).unwrap();
    assert_eq!(report.tests[0].name, "SynchronizedBeforeSuite");
    assert!(report.tests[0].failure.is_some());
}

#[test]
fn a_run_that_says_nothing_is_an_error() {
    let none = r#"[{"SpecialSuiteFailureReasons": null, "SpecReports": []}]"#;
    let cut = r#"[{"SpecialSuiteFailureReasons": ["Interrupted by Timeout"], "SpecReports": []}]"#;
    for (json, words) in [(none, "no test ran"), (cut, "Interrupted by Timeout")] {
        let error = SuiteReport::parse(json).unwrap_err();
        assert!(format!("{error:#}").contains(words), "{error:#}");
    }
}

#[test]
fn the_table_has_a_column_for_each_run() {
    let report = SuiteReport::parse(REPORT).unwrap();
    let table = results_table(&[("in peace", &report), ("under fire", &report)]);
    let apps = table.lines().nth(1).unwrap();
    assert_eq!(
        apps.split_whitespace().collect::<Vec<_>>(),
        ["apps", "1/2", "4", "s", "1/2", "4", "s"]
    );
    assert!(table.lines().last().unwrap().starts_with("all"));
}

#[test]
fn the_lists_lines_say_why() {
    let of_lab = skip::read_exclusions(&workspace_root().join("lab/conformance/skip")).unwrap();
    assert!(of_lab.iter().any(|e| e.regex == r"\[Serial\]"));
    let error = skip::parse_exclusions("# a comment\n\n\\[Slow\\]\n").unwrap_err();
    assert!(format!("{error:#}").contains("line 3"), "{error:#}");
}

#[test]
fn a_focus_is_narrowed_and_exact() {
    assert_eq!(focus_on(None), r"\[Conformance\]");
    assert_eq!(
        focus_on(Some("sig-apps|sig-cli")),
        r"(?:sig-apps|sig-cli).*\[Conformance\]"
    );
    assert_eq!(exact_regex("[sig-x] a/b (c)"), r"\[sig\-x\] a\/b \(c\)$");
}
