//! Programs that speak to the API as the administrator.

use crate::context::Context;
use crate::kube::ADMIN_CONF;
use crate::phases::proxy::bypass_proxy;
use crate::sys::Cmd;

/// The command with the administrator's kubeconfig, past every proxy.
pub fn with_admin(cx: &Context, mut cmd: Cmd) -> Cmd {
    let kubeconfig = cx.sys.files.path(ADMIN_CONF);
    let kubeconfig = kubeconfig.to_string_lossy().into_owned();
    cmd.env.push(("KUBECONFIG".into(), kubeconfig));
    bypass_proxy(cx, cmd)
}
