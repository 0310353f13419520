// Package tpmforge writes what a TPM 2.0, a TPM maker and an Azure paravisor
// write: quotes, public areas, certificates, event logs and HCL reports, by keys
// made here, healthy or broken in any way.
//
// It answers one question: what would our verifiers be shown? It is for tests and
// for the program that makes the vectors, and shares no code with the verifiers, so
// that a misread specification shows.
package tpmforge
