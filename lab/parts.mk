# parts.mk: what the targets of the Makefile need, side by side as far as one thing is not made of another:
# make -f lab/parts.mk -j demo. Each script also makes what it needs by itself; a lock lets only one build it.
SHELL := /bin/bash
export PARTS_BEGAN := $(shell date +%s)

demo: nodes ha-host
nodes: image sysexts agent
lab: kube images image sysexts operator vm judges
test: lab agent

# The Kubernetes programs are the longest way: the two cargo builds take what they leave of the processors.
kube containerd node images image sysexts operator vm judges cilium-real conformance runners sshd crio:
	@lab/part.sh $@ lab/lab.sh $@
agent:
	@lab/part.sh $@ nice $(MAKE) --no-print-directory sysext
ha-host:
	@lab/part.sh $@ nice $(MAKE) --no-print-directory build

node: $(if $(filter 1.7,$(CONTAINERD)),,containerd)
images: kube node
image: images
sysexts: kube node
vm: image operator
cilium-real: image
cilium: test cilium-real
conformance: image
runners: image
sshd: node
crio: images
options: nodes runners sshd crio vm
suite: nodes conformance

kube node: export WAITING = images and sysexts wait for it
containerd: export WAITING = node waits for it
images: export WAITING = image waits for it
image sysexts vm judges cilium-real conformance runners sshd crio: export WAITING =

.PHONY: demo nodes lab test kube containerd node images image sysexts operator vm judges cilium-real cilium conformance runners sshd crio options suite agent ha-host
