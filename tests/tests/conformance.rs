//! Kubernetes' own conformance tests (`make conformance`): all that the lab's images allow, through the VIP; then the same while the
//! VIP's holder is hurt every 20 seconds. What fails only then had a request in flight, which no balancer of connections can repeat:
//! it is run again in peace, and must pass.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::cluster::Cluster;
use ha_tests::conformance::fire::{MadeFault, under_fire};
use ha_tests::conformance::report::{SuiteReport, results_table};
use ha_tests::conformance::{Suite, exact_regex, focus_on};
use ha_tests::eventually::wait_until;
use ha_tests::lab::Lab;
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;

/// `ha-host status` after the last fault.
const WHOLE: Duration = Duration::from_secs(180);
/// Narrows both runs.
const FOCUS: &str = "HA_CONFORMANCE_FOCUS";
/// Narrows the second run alone.
const FIRE: &str = "HA_CONFORMANCE_FIRE";

#[test]
#[ignore = "Kubernetes' own tests have images of their own: make conformance"]
fn kubernetes_own_tests_pass_in_peace_and_under_fire() {
    let story = Story::new("conformance");
    let (cluster, suite) = story.step("the lab is there", || {
        let lab = Lab::default();
        let mut plan = ClusterPlan::new("e2e-conformance", 3, 2);
        plan.image = Some(lab.part("conformance-image"));
        // The cluster first: it waits for another run, whose reports would be emptied.
        Ok((Cluster::new(plan)?, Suite::find(&lab)?))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    story.note(&format!("logs and reports: {}", suite.out().display()));
    let focus = [focus_on(variable_value(FOCUS).as_deref())];
    let peace = story.step("the tests are run in peace", || {
        suite.run(&cluster, "peace", &focus)
    });
    write_table(&story, &suite, &[("in peace", &peace)], &[]);
    let focus = [focus_on(
        variable_value(FIRE)
            .or_else(|| variable_value(FOCUS))
            .as_deref(),
    )];
    let (fire, faults) = story.step("the tests are run under fire", || {
        under_fire(&cluster, || suite.run(&cluster, "fire", &focus))
    });
    let columns = [("in peace", &peace), ("under fire", &fire)];
    write_table(&story, &suite, &columns, &faults);
    story.step(
        "a while after the last fault ha-host status finds nothing",
        || {
            wait_until("exit code 0", WHOLE, || {
                cluster.ha_host(&["status", cluster.name()], WHOLE)?.ok()
            })
        },
    );
    passes_again(&story, &suite, &cluster, &peace, &fire);
    story.step("in peace every test passed", || {
        let failed: Vec<_> = peace.failed().map(|f| &f.0.name).collect();
        ensure!(failed.is_empty(), "{failed:#?}");
        Ok(())
    });
    story.step("destroy leaves nothing", || cluster.destroy());
}

fn variable_value(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|v| !v.is_empty())
}

/// The table and what failed in the last run, to the terminal and to `table.txt`; each failure with the fault before it.
fn write_table(story: &Story, suite: &Suite, runs: &[(&str, &SuiteReport)], faults: &[MadeFault]) {
    let mut text = results_table(runs);
    if !faults.is_empty() {
        let _ = writeln!(text, "\n{} faults of the VIP's holder:", faults.len());
    }
    for fault in faults {
        let _ = writeln!(text, "{fault}");
    }
    for (test, failure) in runs.iter().flat_map(|run| run.1.failed()) {
        let _ = writeln!(
            text,
            "\n{} {}\n{}",
            failure.time, test.name, failure.message
        );
        if let Some(fault) = faults.iter().rfind(|f| f.time <= failure.time) {
            let _ = writeln!(text, "the fault before it: {fault}");
        }
    }
    story.note(&text.replace('\n', "\n       "));
    story.step("the table is kept", || {
        Ok(std::fs::write(suite.out().join("table.txt"), text)?)
    });
}

/// Those that failed under fire alone.
fn passes_again(
    story: &Story,
    suite: &Suite,
    cluster: &Cluster,
    peace: &SuiteReport,
    fire: &SuiteReport,
) {
    let failed = fire.failed().map(|f| &f.0.name);
    let only_then: Vec<String> = failed
        .filter(|n| !peace.has_failed(n))
        .map(|n| exact_regex(n))
        .collect();
    if only_then.is_empty() {
        return;
    }
    let what = format!(
        "the {} that failed under fire alone pass in peace",
        only_then.len()
    );
    story.step(&what, || all_pass(suite, cluster, &only_then));
}

fn all_pass(suite: &Suite, cluster: &Cluster, focus: &[String]) -> Result<()> {
    let again = suite.run(cluster, "again", focus)?;
    let failed: Vec<_> = again.failed().collect();
    ensure!(
        failed.is_empty() && again.tests.len() == focus.len(),
        "{} of {} ran, failed: {failed:#?}",
        again.tests.len(),
        focus.len()
    );
    Ok(())
}
