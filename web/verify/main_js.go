//go:build js && wasm

// Command verify is every verifier as WebAssembly, for browsers and JavaScript
// runtimes. It is not part of the box. It stands on the relying party's side of the
// trust boundary, and whoever serves it to a browser is trusted by that browser.
//
// It sets one function, blindboxVerify(case), and calls blindboxReady() if there is
// one. The argument is the text of a case in the form of vectors/cases/*/input.json
// with every part inline; the answer is an object, {verdict: "accepted" or "refused",
// checks: [{name, status, code, seen, expected}]}. Accepted says that genuine hardware
// signed the evidence, and not that its code, its state or its freshness is what
// anybody wants: that is appraisal, which is not in here. A case with a trust file
// is refused, since nobody would look at it.
package main

import (
	"errors"
	"syscall/js"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/vector"
)

func main() {
	js.Global().Set("blindboxVerify", js.FuncOf(func(_ js.Value, args []js.Value) any {
		if len(args) != 1 || args[0].Type() != js.TypeString {
			return object(refusal(errors.New("verify: expected one argument, a string")))
		}
		return object(answer([]byte(args[0].String())))
	}))
	if ready := js.Global().Get("blindboxReady"); ready.Type() == js.TypeFunction {
		ready.Invoke()
	}
	select {}
}

func answer(in []byte) vector.Answer {
	c, err := vector.Read(in, func(string) ([]byte, error) { return nil, errors.New("a part that is not inline") })
	if err != nil {
		return refusal(err)
	}
	if c.Trust != "" {
		return refusal(errors.New("verify: a trust file, expected none: it would not be looked at"))
	}
	return vector.AnswerOf(c.Verify())
}

func refusal(err error) vector.Answer {
	return vector.Answer{Verdict: vector.Refused, Checks: []attest.Check{{Name: "case", Code: attest.CodeMalformed, Seen: err.Error()}}}
}

func object(a vector.Answer) map[string]any {
	checks := make([]any, len(a.Checks))
	for i, c := range a.Checks {
		checks[i] = map[string]any{
			"name": c.Name, "status": c.Status.String(), "code": string(c.Code), "seen": c.Seen, "expected": c.Expected,
		}
	}
	return map[string]any{"verdict": a.Verdict, "checks": checks}
}
