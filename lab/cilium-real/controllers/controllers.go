// Package controllers stands for a module that the module proxy does not serve: all that Cilium 1.20 takes from it.
package controllers

// DerivedServiceAnnotation is set on a ServiceImport of the Multi-Cluster Services API, which the lab does not use.
const DerivedServiceAnnotation = "multicluster.kubernetes.io/derived-service"
