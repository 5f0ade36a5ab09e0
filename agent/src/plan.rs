//! The table of contents: which phases a node meets, in which order. No I/O here.

use ha_wire::node::NodeFile;
use ha_wire::phase::Phase;

/// A node's way from its first boot to its steady state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One after the other.
    pub steps: Vec<Phase>,
    /// Taken in place of the rest of [`Phase::Init`] when the founder finds a standing cluster.
    pub detour: Vec<Phase>,
    /// From the start on, side by side with all of the above.
    pub background: Vec<Phase>,
}

impl Plan {
    /// The plan for this node.
    pub fn of(node: &NodeFile) -> Self {
        let may_found = node.is_control_plane() && node.founder.is_some();

        let mut plan = Self {
            steps: Vec::new(),
            detour: Vec::new(),
            background: Phase::ALL
                .into_iter()
                .filter(|phase| phase.is_background())
                .collect(),
        };
        plan.steps.push(Phase::Preflight);
        plan.when(node.runs_balancer(), &[Phase::Balancer]);
        if !node.is_kubernetes_node() {
            plan.steps.push(Phase::Steady);
            plan.background.clear();
            return plan;
        }
        plan.when(may_found, &[Phase::Init]);
        plan.when(!may_found, &[Phase::Gate, Phase::Join]);
        plan.when(true, &[Phase::Network, Phase::Finish, Phase::Steady]);
        if may_found {
            plan.detour = vec![Phase::Gate, Phase::Join];
        }
        plan
    }

    /// The plan for a node that has been in its cluster: its load balancer depends on nothing else, and comes first. With a full
    /// disk, a broken container runtime or a port taken it still carries the VIP for those who are well.
    pub fn of_member(node: &NodeFile) -> Self {
        let mut plan = Self::of(node);
        plan.steps.sort_by_key(|phase| *phase != Phase::Balancer);
        plan
    }

    /// The phase that follows on this one; none after the last.
    pub fn after(&self, phase: Phase) -> Option<Phase> {
        if let Some(at) = self.detour.iter().position(|p| *p == phase) {
            return self
                .detour
                .get(at + 1)
                .copied()
                .or_else(|| self.after(Phase::Init));
        }
        let at = self.steps.iter().position(|p| *p == phase)?;
        self.steps.get(at + 1).copied()
    }

    /// True if a node with this plan can be in this phase.
    #[cfg(test)]
    pub fn holds(&self, phase: Phase) -> bool {
        self.steps.contains(&phase) || self.detour.contains(&phase)
    }

    fn when(&mut self, condition: bool, phases: &[Phase]) {
        if condition {
            self.steps.extend_from_slice(phases);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn phase_names(phases: &[Phase]) -> String {
        phases
            .iter()
            .map(|p| p.name())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn each_role_meets_its_phases() {
        let plan = Plan::of(&testing::founder());
        assert_eq!(
            phase_names(&plan.steps),
            "preflight balancer init network finish steady"
        );
        assert_eq!(phase_names(&plan.detour), "gate join");
        let plan = Plan::of(&testing::control_plane());
        assert_eq!(
            phase_names(&plan.steps),
            "preflight balancer gate join network finish steady"
        );
        assert_eq!(phase_names(&plan.detour), "");
        let plan = Plan::of(&testing::worker());
        assert_eq!(
            phase_names(&plan.steps),
            "preflight gate join network finish steady"
        );
        assert_eq!(phase_names(&plan.background), "images");
    }

    #[test]
    fn a_member_s_balancer_waits_for_nothing() {
        let steps = |node| phase_names(&Plan::of_member(&node).steps);
        let control_plane = "balancer preflight gate join network finish steady";
        assert_eq!(steps(testing::control_plane()), control_plane);
        let founder = "balancer preflight init network finish steady";
        assert_eq!(steps(testing::founder()), founder);
        let worker = testing::worker();
        assert_eq!(Plan::of_member(&worker), Plan::of(&worker));
    }

    #[test]
    fn a_balancer_of_its_own_is_nothing_else() {
        let balancer = testing::balancer_machine();
        let plan = Plan::of(&balancer);
        assert_eq!(phase_names(&plan.steps), "preflight balancer steady");
        assert!(plan.background.is_empty() && plan.detour.is_empty());
        let member = Plan::of_member(&balancer);
        assert_eq!(phase_names(&member.steps), "balancer preflight steady");
        let mut founder = testing::founder();
        founder.load_balancer.mode = balancer.load_balancer.mode;
        let plan = Plan::of(&founder);
        assert_eq!(
            phase_names(&plan.steps),
            "preflight init network finish steady"
        );
    }

    #[test]
    fn behind_somebody_elses_balancer_there_is_none() {
        let node = testing::behind_external(testing::founder());
        for plan in [Plan::of(&node), Plan::of_member(&node)] {
            assert_eq!(
                phase_names(&plan.steps),
                "preflight init network finish steady"
            );
        }
    }

    #[test]
    fn a_worker_never_founds() {
        let mut node = testing::worker();
        node.founder = testing::founder().founder;
        assert_eq!(Plan::of(&node), Plan::of(&testing::worker()));
    }

    #[test]
    fn every_way_ends_in_steady() {
        let nodes = [
            testing::founder(),
            testing::control_plane(),
            testing::worker(),
            testing::balancer_machine(),
        ];
        let plans = nodes.iter().map(Plan::of);
        for plan in plans.chain(nodes.iter().map(Plan::of_member)) {
            for start in Phase::ALL.into_iter().filter(|p| plan.holds(*p)) {
                let way: Vec<Phase> = std::iter::successors(Some(start), |p| plan.after(*p))
                    .take(20)
                    .collect();
                assert_eq!(way.last(), Some(&Phase::Steady), "{}", phase_names(&way));
            }
        }
    }
}
