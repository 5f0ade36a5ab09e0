# The only entry. Each target is a few lines; what takes more is a script beside what it makes (lab/, sysext/).
# Artefacts of the lab are cached by content under ~/.cache/flatcar-ha (XDG_CACHE_HOME); lab/out holds links to them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
# A user's PATH on Debian has no sbin, and root gets this one (chroot, losetup, nft).
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin
# KUBERNETES=1.37, CONTAINERD=1.7: another lab than the default's, beside it.
export KUBERNETES ?=
export CONTAINERD ?=
export HA_LAB ?= $(CURDIR)/lab/out$(addprefix /,$(KUBERNETES))$(addprefix /containerd-,$(CONTAINERD))

CLUSTER ?= examples/demo.yaml
# Those that a new cluster may have.
MINORS ?= $(shell awk -F '\t' '/^1/ && $$NF != "no" {print $$1}' crates/cluster-file/src/minors.tsv)
RUNS ?= 100
FUZZ_SECONDS ?= 60
FUZZ_TARGETS = $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
# "env" because sudo's secure_path would hide cargo; HOME because clusters' state belongs to who called make.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo env PATH=$(PATH) HOME=$(HOME) HA_LAB=$(HA_LAB) KUBERNETES=$(KUBERNETES) CONTAINERD=$(CONTAINERD))
HA_HOST_BIN := target/release/ha-host
# $(PARTS) GOAL: what it needs, side by side. Root is asked for nothing first: sudo's question would be lost in a part's log.
PARTS = @$(AS_ROOT) true; $(MAKE) --no-print-directory -f lab/parts.mk -j

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## The two commands of the README

demo: need ## A five-node cluster on this machine, from nothing
	$(PARTS) demo
	$(AS_ROOT) $(HA_HOST_BIN) launch $(CLUSTER)
	$(AS_ROOT) $(HA_HOST_BIN) status demo
	@echo
	@echo "go on:  $(AS_ROOT) $(HA_HOST_BIN) kubeconfig demo > demo.kubeconfig && lab/out/kube/kubectl --kubeconfig demo.kubeconfig get nodes"
	@echo "        $(AS_ROOT) $(HA_HOST_BIN) logs demo node1 -f"
	@echo "        $(AS_ROOT) $(HA_HOST_BIN) destroy demo"

# What root runs: built as whoever calls, or root's files in target/ would stop the next build. Results go to the caller, too.
TESTS_AS_ROOT = AS_ROOT="$(AS_ROOT) env $${HA_CONFORMANCE_FOCUS:+HA_CONFORMANCE_FOCUS=$$HA_CONFORMANCE_FOCUS} $${HA_CONFORMANCE_FIRE:+HA_CONFORMANCE_FIRE=$$HA_CONFORMANCE_FIRE} $${HA_CUTS:+HA_CUTS=$$HA_CUTS} $${HA_FOUNDINGS:+HA_FOUNDINGS=$$HA_FOUNDINGS} $${HA_HIDDEN:+HA_HIDDEN=$$HA_HIDDEN} $${HA_RENEWAL_MINUTES:+HA_RENEWAL_MINUTES=$$HA_RENEWAL_MINUTES} $${HA_ROUNDS:+HA_ROUNDS=$$HA_ROUNDS} $${HA_UPGRADE_TO:+HA_UPGRADE_TO=$$HA_UPGRADE_TO} HA_IMAGE=$(HA_LAB)/image HA_OPERATOR=$(HA_LAB)" tests/as_root.sh --no-fail-fast
# Whoever runs this in the background may have told it to ignore them, and the programs under test would go on ignoring them.
OWN_SIGNALS = env --default-signal=INT,HUP,TERM
GIVE_BACK = $(AS_ROOT) chown -R -h --reference=Makefile
test: need need-browser need-disk lint deny ## Lints, and every test but the longest (test-...), the real clusters included (three quarters of an hour, more at first)
	$(PARTS) cilium
	$(OWN_SIGNALS) cargo test --locked --tests --no-fail-fast
	$(TESTS_AS_ROOT) --bins -p ha-agent -- --ignored --skip looks_of_an_hour --skip podmans_generator
	$(TESTS_AS_ROOT) --lib --bins -p ha-host -p ha-flatcar-image -p ha-providers -- --ignored --test-threads=1
	$(TESTS_AS_ROOT) --tests -p ha-tests -- --test-threads=1
	@$(GIVE_BACK) target/e2e

test-vm: need ## kubeadm init in a virtual machine under an emulator, and kube-proxy with ipvs (4 to 7 minutes on two idle cores)
	$(PARTS) test
	$(TESTS_AS_ROOT) -p ha-tests --test vm -- --ignored --test-threads=1
	@$(GIVE_BACK) target/e2e

test-power-cuts: need ## 120 power cuts that lose what was not synced, and two killed hypervisors (two hours; HA_ROUNDS=3,17)
	$(PARTS) test
	$(TESTS_AS_ROOT) -p ha-tests --test power_cuts -- --ignored --test-threads=1
	@$(GIVE_BACK) target/e2e

test-foundings: export HA_FOUNDINGS ?= 20
test-foundings: need ## Eight ways to hide a cluster from its founder and two wrong clocks, each HA_FOUNDINGS=20 times (15 minutes a time; HA_HIDDEN=LostData,CutOff)
	$(PARTS) test
	$(TESTS_AS_ROOT) -p ha-tests --test foundings --test foundings_clock -- --test-threads=1
	@$(GIVE_BACK) target/e2e

test-renewal: need ## Certificates that live ten minutes, renewed by the agents for half an hour while somebody asks through the VIP
	$(PARTS) test
	$(TESTS_AS_ROOT) -p ha-tests --test renewal -- --ignored --test-threads=1
	@$(GIVE_BACK) target/e2e

test-faults: need ## Faults made on clusters that stand, and what doctor, status and the agents say of them (a quarter of an hour)
	$(PARTS) test
	$(TESTS_AS_ROOT) -p ha-tests --test doctor --test ready_means_ready --test etcd_restore -- --ignored --test-threads=1
	@$(GIVE_BACK) target/e2e

test-options: need ## What the cluster file can say, each looked at on a small cluster (the launches that make test leaves out)
	$(PARTS) options
	cargo test --locked -p ha-agent podmans_generator -- --ignored
	$(TESTS_AS_ROOT) -p ha-tests $(patsubst tests/tests/%.rs,--test %,$(wildcard tests/tests/options_*.rs)) -- --ignored --test-threads=1
	@$(GIVE_BACK) target/e2e

test-versions: need ## A cluster of each supported minor, 3+1 (a minute each; the lab of a further minor first: 10 to 20 more)
	for minor in $(MINORS); do $(MAKE) --no-print-directory test-version KUBERNETES=$$minor HA_LAB=$(CURDIR)/lab/out/$$minor; done

test-version: need ## A cluster of one minor, 3+1 (KUBERNETES=1.37), or on nodes with containerd 1.7 (CONTAINERD=1.7)
	$(PARTS) nodes
	$(TESTS_AS_ROOT) -p ha-tests --test version -- --ignored --test-threads=1
	@$(GIVE_BACK) target/e2e

test-upgrade: UPGRADE_TO ?= $(lastword $(MINORS))
test-upgrade: export HA_UPGRADE_TO = $(CURDIR)/lab/out/$(UPGRADE_TO)
test-upgrade: need ## kubeadm upgrade of a 3+1 cluster to another minor (UPGRADE_TO=1.37), as docs/sysexts.md has it (ten minutes; the lab of that minor first: 10 to 20 more)
	$(PARTS) nodes
	$(PARTS) nodes KUBERNETES=$(UPGRADE_TO)
	$(TESTS_AS_ROOT) -p ha-tests --test kubernetes_upgrade -- --ignored --test-threads=1
	@$(GIVE_BACK) target/e2e

test-cilium: need ## The real Cilium beyond make test's 1+1: 3+2 with faults, IPv6, dual-stack (ten minutes)
	$(PARTS) cilium
	$(TESTS_AS_ROOT) -p ha-tests --test cilium_real -- --ignored --test-threads=1
	@$(GIVE_BACK) target/e2e

conformance: need ## Kubernetes' own conformance tests on 3+2, then while the VIP's holder is hurt every 20 s (HA_CONFORMANCE_FOCUS=REGEX)
	$(PARTS) suite
	$(TESTS_AS_ROOT) -p ha-tests --test conformance -- --ignored --test-threads=1
	@$(GIVE_BACK) target/e2e target/conformance

# Each share has an operator's machine of its own.
test-libvirt-cuts: JOBS ?= 4
test-libvirt-cuts: need ## A real libvirtd that dies, hangs or lies at every single call of a launch and a destroy (in JOBS=4 shares, side by side)
	$(PARTS) vm
	@shares=(); for i in $$(seq $(JOBS)); do \
	  HA_CUTS=$$i/$(JOBS) $(TESTS_AS_ROOT) --lib -p ha-providers -- --ignored --nocapture --test-threads=1 libvirt::tests::cuts & shares+=($$!); \
	done; failed=0; for share in "$${shares[@]}"; do wait "$$share" || failed=1; done; exit $$failed

test-sysext: need-rust ## The agent's sysext built twice from nothing, in two places: byte for byte the same (minutes)
	sysext/lint.sh --reproducible

ARM64 = aarch64-unknown-linux-gnu
# qemu-user makes /proc/self/stat up, starts a program that is not there and then ends it, and has more memory than the agent's.
UNLIKE_A_KERNEL = --skip the_kernel_s_own_line_is_read --skip a_program_that_is_not_there_is_named --skip an_hour_of_steady_looks
test-arm64: export CC_aarch64_unknown_linux_gnu = aarch64-linux-gnu-gcc
test-arm64: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER = aarch64-linux-gnu-gcc
test-arm64: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER = qemu-aarch64-static -L /usr/aarch64-linux-gnu
test-arm64: need ## The agent for arm64: its sysext built across, its program and the tests of its crates under qemu-user (ten minutes)
	@lab/need.sh arm64
	image=$$(ARCH=arm64 sysext/build.sh target/sysext-arm64); sysext/lint.sh "$$image"
	qemu-aarch64-static target/agent/$(ARM64)/agent/ha-agent --version
	cargo test --locked --lib --bins -p ha-agent -p ha-kube -p ha-wire --target $(ARM64) --target-dir target/arm64 -- $(UNLIKE_A_KERNEL)

test-flatcar: need-rust sysext ## The suite on real Flatcar images: needs KVM and a way to Flatcar's servers, else says SKIPPED
	tests/flatcar.sh

## Parts

build: need-rust ## ha-host, as released
	cargo build --release --locked -p ha-host

sysext: need-rust ## The agent's system extension in target/sysext (ARCH=arm64, AGENT_BIN=FILE)
	image=$$(sysext/build.sh); sysext/lint.sh "$$image"

lab: need ## Everything that a lab node is made of, in lab/out (but the real Cilium)
	$(PARTS) lab

lab-kube: need ## Only the Kubernetes programs
	$(PARTS) kube

lab-node: need ## Only the node image's root
	$(PARTS) node

lab-images: need ## Only the container images and the prepared containerd store
	$(PARTS) image

lab-sysexts: need ## Only the neighbour sysexts: kubernetes, keepalived, haproxy
	$(PARTS) sysexts

lab-vm: need ## Only what tests of virtual machines need: the node as one, the operator's machine
	$(PARTS) vm

lab-cilium: need ## Only the real Cilium 1.20: agent, operator, chart (cold 13 processor minutes)
	$(PARTS) cilium-real

lab-runners: need ## Only keepalived and haproxy as container images, and podman, for nodes whose balancer is no sysext
	$(PARTS) runners

lab-verify: export FLATCAR_HA_VERIFY = 1
lab-verify: need ## Read the whole cache and compare it with its sums (make lab looks at sizes and times)
	$(PARTS) lab

lab-clean: ## Remove cache entries that lab/out does not use
	lab/clean.sh

bench: need ## The figures, as a table and in target/bench (BENCH="size memory render launch guide")
	$(PARTS) demo
	cargo build --release --locked -q -p ha-tests --bin bench
	tests=$$(cargo test --release --locked -p ha-agent --bins --no-run --message-format=json-render-diagnostics | jq -r 'select(.profile.test).executable // empty'); \
	$(AS_ROOT) env HA_HOST=$(CURDIR)/$(HA_HOST_BIN) HA_AGENT_TESTS=$$tests target/release/bench $(BENCH)
	@$(GIVE_BACK) target/bench target/e2e

## Checks

check: lint ## What needs no lab: lints and unit tests; real programs that are missing are done without
	HA_WITHOUT_REAL=1 cargo test --locked --tests

flakes: need ## Every test that needs no cluster, again and again, with idle and with busy processors (RUNS=100 FILTER=NAME JOBS=4)
	HA_WITHOUT_REAL=1 tests/flakes.sh $(RUNS) $(FILTER)
	HA_WITHOUT_REAL=1 BUSY=1 tests/flakes.sh $(RUNS) $(FILTER)

fuzz: need-rust ## Each parser of what comes from outside, fed with nonsense for FUZZ_SECONDS=60 (TARGET=NAME)
	for target in $(or $(TARGET),$(FUZZ_TARGETS)); do CARGO_TARGET_DIR=$(CURDIR)/target/fuzz fuzz/run.sh $$target $(FUZZ_SECONDS); done

lint: need-rust ## rustfmt and clippy, warnings are errors; no test file out of its place, no long file
	tests/structure.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

deny: need-rust ## Licences, sources and bans of what is built in, by cargo-deny; advisories where their database can be fetched
	@lab/need.sh deny
	tests/deny.sh

need:
	@lab/need.sh lab inotify rust

need-browser:
	@lab/need.sh browser

need-disk:
	@lab/need.sh disk

need-rust:
	@lab/need.sh rust

.PHONY: help demo test test-vm test-power-cuts test-foundings test-renewal test-options test-versions test-version test-upgrade test-cilium conformance test-libvirt-cuts test-sysext test-arm64 test-flatcar build sysext lab lab-kube lab-node lab-images lab-sysexts lab-vm lab-cilium lab-runners lab-verify lab-clean bench check flakes fuzz lint deny need need-browser need-disk need-rust
