//! `ClusterConfiguration` of kubeadm.k8s.io/v1beta4, the same in k8s.io/kubernetes 1.34.4 to 1.37.2,
//! cmd/kubeadm/app/apis/kubeadm/v1beta4/types.go.

use super::shape::{KubeadmDocument, Shape};
use crate::diagnostic::Severity;
use Shape::{Any, Arguments, Bool, Duration, ListOf, MapOf, Object, Text, Word};

/// kubeadm refuses what it does not know once it validates, and every supported minor has the same v1beta4.
pub(super) const CLUSTER: KubeadmDocument = KubeadmDocument {
    keys: KEYS,
    name: "kubeadm's ClusterConfiguration",
    unknown: Severity::Error,
    elsewhere: &[
        (
            "timeoutForControlPlane",
            "use kubernetes.timeouts.controlPlaneComponentHealthCheck, its place and name since v1beta4",
        ),
        (
            "type",
            "leave it out: CoreDNS is the only DNS since v1beta3",
        ),
        (
            "useHyperKubeImage",
            "leave it out: it was removed with v1beta3",
        ),
        ("kubeletExtraArgs", "use kubernetes.kubeletConfig"),
        ("kubeletConfiguration", "use kubernetes.kubeletConfig"),
        ("kubeProxy", "use kubernetes.proxy"),
        (
            "nodeRegistration",
            "leave it out: it is InitConfiguration's; labels and taints are nodes[].labels and nodes[].taints",
        ),
        (
            "localAPIEndpoint",
            "leave it out: it is each node's own address and endpoint.apiserverPort",
        ),
        (
            "bootstrapTokens",
            "leave it out: it is InitConfiguration's, and nodes bring their certificates along",
        ),
        (
            "certificateKey",
            "leave it out: control planes bring their keys along",
        ),
        (
            "skipPhases",
            "leave it out: it is InitConfiguration's, which is the agent's",
        ),
        (
            "patches",
            "leave it out: it is InitConfiguration's, which is the agent's",
        ),
        ("timeouts", "use kubernetes.timeouts"),
        ("podSubnet", "use kubernetes.podCIDR"),
        ("serviceSubnet", "use kubernetes.serviceCIDR"),
        ("dnsDomain", "write `networking: {dnsDomain: ...}`"),
        ("apiServerCertSANs", "use kubernetes.certSANs"),
        (
            "apiServerExtraArgs",
            "write `apiServer: {extraArgs: [{name: ..., value: ...}]}`",
        ),
        (
            "controllerManagerExtraArgs",
            "write `controllerManager: {extraArgs: [{name: ..., value: ...}]}`",
        ),
        (
            "schedulerExtraArgs",
            "write `scheduler: {extraArgs: [{name: ..., value: ...}]}`",
        ),
    ],
};

const COMPONENT: Shape = Object(&[
    ("extraArgs", Arguments),
    ("extraEnvs", ENVS),
    ("extraVolumes", VOLUMES),
]);

const ENVS: Shape = ListOf(&Object(&[
    ("name", Text),
    ("value", Text),
    ("valueFrom", Any),
]));

const VOLUMES: Shape = ListOf(&Object(&[
    ("name", Text),
    ("hostPath", Text),
    ("mountPath", Text),
    ("readOnly", Bool),
    (
        "pathType",
        Word(&[
            "",
            "DirectoryOrCreate",
            "Directory",
            "FileOrCreate",
            "File",
            "Socket",
            "CharDevice",
            "BlockDevice",
        ]),
    ),
]));

const KEYS: &[(&str, Shape)] = &[
    (
        "apiServer",
        Object(&[
            ("certSANs", ListOf(&Text)),
            ("extraArgs", Arguments),
            ("extraEnvs", ENVS),
            ("extraVolumes", VOLUMES),
        ]),
    ),
    ("caCertificateValidityPeriod", Duration),
    ("certificateValidityPeriod", Duration),
    ("certificatesDir", Text),
    ("clusterName", Text),
    ("controlPlaneEndpoint", Text),
    ("controllerManager", COMPONENT),
    (
        "dns",
        Object(&[
            ("disabled", Bool),
            ("imageRepository", Text),
            ("imageTag", Text),
        ]),
    ),
    ("encryptionAlgorithm", Text),
    (
        "etcd",
        Object(&[
            (
                "local",
                Object(&[
                    ("dataDir", Text),
                    ("extraArgs", Arguments),
                    ("extraEnvs", ENVS),
                    ("imageRepository", Text),
                    ("imageTag", Text),
                    ("peerCertSANs", ListOf(&Text)),
                    ("serverCertSANs", ListOf(&Text)),
                ]),
            ),
            ("external", Any),
        ]),
    ),
    ("featureGates", MapOf(&Bool)),
    ("imageRepository", Text),
    ("kubernetesVersion", Text),
    (
        "networking",
        Object(&[
            ("dnsDomain", Text),
            ("podSubnet", Text),
            ("serviceSubnet", Text),
        ]),
    ),
    ("proxy", Object(&[("disabled", Bool)])),
    ("scheduler", COMPONENT),
];
