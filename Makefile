# The only entry. Each target is a few lines; what takes more is a script beside what it makes (lab/, sysext/).
# Artefacts of the lab are cached by content under ~/.cache/flatcar-ha (XDG_CACHE_HOME); lab/out holds links to them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
export PATH := $(HOME)/.cargo/bin:$(PATH)
export HA_LAB ?= $(CURDIR)/lab/out

CLUSTER ?= examples/demo.yaml
RUNS ?= 100
# "env" because sudo's secure_path would hide cargo; HOME because clusters' state belongs to who called make.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo env PATH=$(PATH) HOME=$(HOME) HA_LAB=$(HA_LAB))
HA_HOST_BIN := target/release/ha-host
# $(PARTS) GOAL: what it needs, side by side. Root is asked for nothing first: sudo's question would be lost in a part's log.
PARTS = @$(AS_ROOT) true; $(MAKE) --no-print-directory -f lab/parts.mk -j

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## The two commands of the README

demo: need ## A five-node cluster on this machine, from nothing
	$(PARTS) demo
	$(AS_ROOT) $(HA_HOST_BIN) launch $(CLUSTER)
	$(AS_ROOT) $(HA_HOST_BIN) status demo
	@echo
	@echo "go on:  $(AS_ROOT) $(HA_HOST_BIN) kubeconfig demo > demo.kubeconfig && lab/out/kube/kubectl --kubeconfig demo.kubeconfig get nodes"
	@echo "        $(AS_ROOT) $(HA_HOST_BIN) logs demo node1 -f"
	@echo "        $(AS_ROOT) $(HA_HOST_BIN) destroy demo"

test: need ## Every test but test-vm, the real clusters included (root, half an hour, more the first time)
	$(PARTS) test
	cargo test --locked --tests --no-fail-fast
	$(AS_ROOT) env HA_IMAGE=$(HA_LAB)/image HA_OPERATOR=$(HA_LAB) cargo test --locked --lib --bins --no-fail-fast -p ha-host -p ha-flatcar-image -p ha-providers -- --ignored --test-threads=1
	$(AS_ROOT) cargo test --locked --tests --no-fail-fast -p ha-tests -- --test-threads=1

test-vm: need ## The longest: kubeadm init in a virtual machine under an emulator (7 minutes on two idle cores)
	$(PARTS) test
	$(AS_ROOT) cargo test --locked -p ha-tests --test vm -- --ignored --test-threads=1

test-flatcar: need-rust sysext ## The suite on real Flatcar images: needs KVM and a way to Flatcar's servers, else says so
	tests/flatcar.sh

## Parts

build: need-rust ## ha-host, as released
	cargo build --release --locked -p ha-host

sysext: need-rust ## The agent's system extension in target/sysext (ARCH=arm64, AGENT_BIN=FILE)
	image=$$(sysext/build.sh); sysext/lint.sh "$$image"

lab: need ## Everything that a lab node is made of, in lab/out
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

lab-verify: export FLATCAR_HA_VERIFY = 1
lab-verify: need ## Read the whole cache and compare it with its sums (make lab looks at sizes and times)
	$(PARTS) lab

lab-clean: ## Remove cache entries that lab/out does not use
	lab/clean.sh

bench: need ## The figures, as a table and in target/bench (BENCH="size render launch guide")
	$(PARTS) demo
	$(AS_ROOT) env HA_HOST=$(CURDIR)/$(HA_HOST_BIN) cargo run --release --locked -q -p ha-tests --bin bench -- $(BENCH)

## Checks

check: lint ## What needs no lab: lints and unit tests; real programs that are missing are done without
	HA_WITHOUT_REAL=1 cargo test --locked --tests

flakes: need ## Every test that needs no cluster, again and again, with idle and with busy processors (RUNS=100 FILTER=NAME)
	HA_WITHOUT_REAL=1 tests/flakes.sh $(RUNS) $(FILTER)
	HA_WITHOUT_REAL=1 BUSY=1 tests/flakes.sh $(RUNS) $(FILTER)

lint: need-rust ## rustfmt and clippy, warnings are errors; no test file out of its place, no long file
	tests/structure.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

need:
	@lab/need.sh lab inotify rust

need-rust:
	@lab/need.sh rust

.PHONY: help demo test test-vm test-flatcar build sysext lab lab-kube lab-node lab-images lab-sysexts lab-vm lab-verify lab-clean bench check flakes lint need need-rust
