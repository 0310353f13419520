package main

import (
	"fmt"
	"os"
	"regexp"
)

// policyFor is a program for scripts: it writes a policy whose one caller is the box
// that a trust file of dev accepts.
func policyFor() {
	trust, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	word := func(pattern string) string {
		if m := regexp.MustCompile(pattern).FindSubmatch(trust); m != nil {
			return string(m[1])
		}
		return "missing"
	}
	fmt.Printf(`name: answers
models: [{name: tumour, builtin: tumour}]
callers:
  - name: asks
    attested: {kind: sim-sev-snp, measurement: %q, policy: %s, simulated_root: %s}
    may: [query]
`, word(`measurement: ([0-9a-f]{96})`), word(`policy: (sha256:[0-9a-f]{64})`), word(`simulated_root: (sha256:[0-9a-f]{64})`))
}
