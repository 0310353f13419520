// Package race answers, for tests: does the race detector slow this build down? What
// computes for minutes and shares nothing does some of its work then, and all of it
// without the detector: `make test` runs such tests both ways.
package race
