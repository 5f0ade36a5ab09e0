use super::*;

#[test]
fn a_row_knows_its_ratio() {
    let report = BenchReport {
        rows: vec![Figure::new("x", 20.0, "ms", "once").at_most(50.0)],
        phases: Vec::new(),
    };
    assert_eq!(report.rows[0].ratio, Some(0.4));
    assert!(
        report.table().contains("50.00   0.40  once"),
        "{}",
        report.table()
    );
}

#[test]
fn the_median_is_in_the_middle() {
    let times = [30, 10, 20].map(Duration::from_millis).to_vec();
    assert_eq!(median_of(times), Duration::from_millis(20));
    assert_eq!(median_of(Vec::new()), Duration::ZERO);
}
