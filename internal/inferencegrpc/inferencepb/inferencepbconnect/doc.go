// Package inferencepbconnect has the service of the Open Inference Protocol over gRPC,
// generated from inference.proto by protoc-gen-connect-go (see package inferencegrpc).
package inferencepbconnect
