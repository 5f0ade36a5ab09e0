#!/bin/bash
# refusals.sh DIR: runs the programs in DIR with one wrong argument or field each, and prints what each says against it, as a
# line of refusals.tsv: version, program, what it refuses (-: its words do not name it), its line. It needs root and no network.
set -uo pipefail
dir=$(realpath "$1"); work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
kubernetes=$("$dir/kubeadm" version -o short) kubernetes=${kubernetes#v}
etcd=$("$dir/etcd" --version | sed -n 's/^etcd Version: //p')

say() { # PROGRAM REFUSED ARGUMENTS...: the last line of a verdict, else the last that is logged as an error
  local program=$1 refused=$2 version=$kubernetes said line; shift 2
  [ "$program" = etcd ] && version=$etcd
  said=$(timeout 60 "$dir/$program" "$@" 2>&1 < /dev/null)
  line=$(grep -E '^(Error: |error: |panic: |flag |invalid (boolean )?value |E[0-9]{4} |\{"level":"(fatal|warn)".*"error":)' <<<"$said" | tail -1)
  line=$(sed 's/,"stacktrace":".*"}$/}/; s/ (e\.g\. .*//' <<<"$line")
  # Nothing: this version takes it.
  [ -z "$line" ] || printf '%s\t%s\t%s\t%s\n' "$version" "$program" "$refused" "$line"
}
kubelet() { # REFUSED LINE...: with a configuration of these lines
  local refused=$1; shift
  printf '%s\n' 'apiVersion: kubelet.config.k8s.io/v1beta1' 'kind: KubeletConfiguration' 'failCgroupV1: false' "$@" > kl.yaml
  say kubelet "$refused" --config kl.yaml
}
kubeadm() { # REFUSED TEXT: a ClusterConfiguration with this
  printf '%s\n' 'apiVersion: kubeadm.k8s.io/v1beta4' 'kind: ClusterConfiguration' "kubernetesVersion: v$kubernetes" "$2" > ka.yaml
  say kubeadm "$1" config validate --config ka.yaml
}

say etcd 'argument no-such-flag' --no-such-flag=1
say etcd 'argument quota-backend-bytes' --quota-backend-bytes
say etcd 'argument snapshot-count' --snapshot-count=x
say etcd 'argument force-new-cluster' --force-new-cluster=maybe
say etcd 'argument election-timeout' --election-timeout=100 --heartbeat-interval=1000
say etcd - --listen-client-urls=http://127.0.0.1:0
say etcd - --data-dir=/proc/nope
say etcd - --data-dir=data --auto-compaction-retention=zz --listen-client-urls=http://127.0.0.1:1 --advertise-client-urls=http://127.0.0.1:1

api=(--etcd-servers=http://127.0.0.1:1 --service-account-issuer=x --service-cluster-ip-range=10.0.0.0/16)
say kube-apiserver 'argument no-such-flag' --no-such-flag=1
say kube-apiserver 'argument max-requests-inflight' --max-requests-inflight=many
say kube-apiserver 'argument v' --v=loud
say kube-apiserver 'argument audit-log-path' --audit-log-path
say kube-apiserver 'argument feature-gates' "${api[@]}" --feature-gates=Nope=true
say kube-apiserver - "${api[@]}" --service-account-signing-key-file=/nope --service-account-key-file=/nope --cert-dir=certs
say kube-controller-manager 'argument leader-elect' --leader-elect=perhaps
say kube-controller-manager 'argument node-monitor-period' --node-monitor-period=5
say kube-controller-manager - --controllers=nope
say kube-scheduler 'argument feature-gates' --feature-gates=Nope=true
say kube-scheduler - --config=/nope

kubelet 'field maxPods' 'maxPods: many'
kubelet 'field maxPods' 'maxPods: -5'
kubelet 'field imageGCLowThresholdPercent' 'imageGCHighThresholdPercent: 50' 'imageGCLowThresholdPercent: 80'
kubelet 'field featureGates' 'featureGates: {Nope: true}'
kubelet - 'syncFrequency: soon'
kubelet -
say kubelet 'argument no-such-flag' --no-such-flag=1

kubeadm 'field networking.dnsDomain' 'networking: {dnsDomain: Cluster.Local}'
kubeadm 'field apiServer.extraArgs' 'apiServer: {extraArgs: {audit-log-path: /x}}'
kubeadm 'field apiServerr' 'apiServerr: {}'
kubeadm 'field apiServer.extraArgz' 'apiServer: {extraArgz: []}'
kubeadm 'field imageRepository' 'imageRepository: 7'
kubeadm 'field networking.podSubnet' 'networking: {podSubnet: 10.300.0.0/16}'
kubeadm 'field featureGates' 'featureGates: {Nope: true}'
kubeadm 'field featureGates' 'featureGates: {PublicKeysECDSA: true}'
kubeadm - 'certificateValidityPeriod: soon'
kubeadm - 'controlPlaneEndpoint: a b'
