//! Before a cluster is founded in somebody else's etcd: that it holds no other one. Which one it holds, its apiserver's keys do not
//! say, so the founder writes whose they are to be before there is any of them.

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use ha_kube::etcd::{Claim, Claimed};
use ha_wire::phase::Phase;
use tracing::info;

use crate::context::Context;
use crate::kube::{self, certs, cluster_ca};
use crate::phases::NeedsAPerson;
use crate::phases::no_cluster::to_hex;
use crate::render::kubeadm::EffectiveSettings;

/// Followed by the prefix of the apiserver's keys.
const KEY: &str = "/flatcar-ha/cluster-of";

/// Nothing to do for an etcd on the control planes: one that is begun anew is empty.
pub async fn claim_external_etcd(cx: &Context) -> Result<()> {
    if !cx.node.has_external_etcd() {
        return Ok(());
    }
    let claim = claim_of(cx)?;
    cx.report
        .waiting(Phase::Init, "the external etcd, whether it is empty", "");
    let claimed = kube::external_etcd(cx)?.claim(&claim).await;
    let claimed =
        claimed.context("the external etcd could not be asked whether it holds a cluster")?;
    match reason_not_to_found(cx, &claim, &claimed) {
        None => {
            info!("the external etcd is {}'s: {claimed:?}", cx.node.cluster);
            Ok(())
        }
        Some(why) => Err(NeedsAPerson(why).into()),
    }
}

/// By the CA, which no other cluster has; the name is for people.
pub(super) fn claim_of(cx: &Context) -> Result<Claim> {
    let ca = certs::certificates_in(&cluster_ca(cx)?).into_iter().next();
    let ca = ca.context("the cluster's CA certificate cannot be read")?;
    let hash = to_hex(digest(&SHA256, &ca).as_ref());
    let prefix = EffectiveSettings::new(&cx.node).etcd_prefix;
    Ok(Claim {
        key: format!("{KEY}{}", prefix.trim_end_matches('/')),
        owner: format!("{} {hash}", cx.node.cluster),
        prefix,
    })
}

/// Why nothing is founded there; none: it is empty, or holds what this cluster's own founding left.
fn reason_not_to_found(cx: &Context, claim: &Claim, claimed: &Claimed) -> Option<String> {
    let Claimed::Before { owner, keys } = claimed else {
        return None;
    };
    if owner.as_ref() == Some(&claim.owner) {
        return None;
    }
    let (key, prefix) = (&claim.key, &claim.prefix);
    let found = match owner {
        Some(owner) => {
            let name = owner.split(' ').next().unwrap_or_default();
            format!(
                "is another cluster's: {name}, with a CA of its own, has {keys} keys below {prefix}"
            )
        }
        None => format!("holds another cluster's {keys} keys below {prefix}"),
    };
    let wipe = match owner {
        Some(_) => format!("`etcdctl del --prefix {prefix}`, `etcdctl del {key}`"),
        None => format!("`etcdctl del --prefix {prefix}`"),
    };
    Some(format!(
        "the external etcd {found}: nothing is founded over them. Give {} an etcd of its own. If that cluster is gone for good, and \
         only then: {wipe}, and `systemctl restart ha-agent` on {}",
        cx.node.cluster, cx.node.name
    ))
}
