package main

import (
	"errors"
	"strings"
	"testing"
)

const (
	passed  = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
	skipped = `{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}` + "\n" +
		`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: no python3\n"}` + "\n" +
		`{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}` + "\n" +
		`{"Action":"skip","Package":"p","Test":"TestB"}` + "\n"
	failed = `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:9: got 1\n"}` + "\n" +
		`{"Action":"fail","Package":"p","Test":"TestC"}` + "\n"
	broken = `{"Action":"output","Package":"p","Output":"FAIL p [build failed]\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
)

func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		events string
		err    error
		strict bool
		exit   int
		says   string
	}{
		"all passed":               {passed, nil, true, 0, ""},
		"a skip":                   {passed + skipped, nil, false, 0, "SKIP  p TestB: b_test.go:7: no python3"},
		"a skip where none may be": {passed + skipped, nil, true, 1, "a skipped test is a failure here"},
		"a failure":                {passed + failed, nil, false, 1, "got 1"},
		"a package that failed":    {passed + broken, nil, false, 1, "build failed"},
		"go test itself failed":    {passed, errors.New("exit status 1"), false, 1, ""},
		"nothing ran":              {"", nil, false, 1, "no test ran"},
		"not from go test":         {"go: no such package\n" + passed, nil, false, 0, "go: no such package"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			tally := &tally{out: &out, output: map[string][]string{}}
			tally.read(strings.NewReader(c.events))
			if exit := tally.verdict(c.err, c.strict); exit != c.exit || !strings.Contains(out.String(), c.says) {
				t.Errorf("exit %d, expected %d; %q not in\n%s", exit, c.exit, c.says, out.String())
			}
		})
	}
}
