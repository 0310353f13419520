//go:build race

package main_test

// raced says that the race detector slows this build down.
const raced = true
