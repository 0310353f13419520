// Package inferencepb has the messages of the Open Inference Protocol over gRPC,
// generated from inference.proto by protoc-gen-go (see package inferencegrpc).
package inferencepb
