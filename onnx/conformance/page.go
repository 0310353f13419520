package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// page writes docs/conformance.md.
func page(suites []suite) []byte {
	var b bytes.Buffer
	b.WriteString(`# Conformance

<!-- Written by make conformance. -->

ONNX publishes cases for its operators: a model, inputs, and the outputs that its authors
expect. ` + "`make conformance`" + ` fetches them and runs every one on the engine of package onnx:
`)
	for _, s := range suites {
		fmt.Fprintf(&b, "- %s\n", s.origin)
	}
	b.WriteString(`
A case passes if all outputs have the type and shape that are expected and their elements
agree: floating ones within 1e-7 + 1e-3 of the expected magnitude, as ONNX's own runner has it
(bfloat16 within 1/64), a NaN where a NaN is expected; integers, bools and strings exactly.
Cases of the operators Bernoulli, Multinomial, RandomNormal, RandomUniform and those of the
latter two that are named Like are random by definition: they pass with the right type and
shape. (With a seed the engine draws what numpy's RandomState draws, anew in every run, which
the cases of Dropout rely on; without one it draws what nobody can foresee.) Groups that would
need a download (light, real) are not run.

Of what is left, operators of training are not the engine's business. The inputs of castlike
with BFLOAT16 have another shape than their models declare, which the engine refuses. What
dft_inverse expects of elements that are zero is the rounding of its authors' transform.

`)
	summary(&b, suites)
	failures(&b, suites)
	return b.Bytes()
}

func summary(b *bytes.Buffer, suites []suite) {
	b.WriteString("| cases | group | passed | of |\n|---|---|---|---|\n")
	for _, s := range suites {
		for _, g := range s.groups {
			fmt.Fprintf(b, "| %s | %s | %d | %d |\n", s.origin, g.name, g.passed(), len(g.cases))
		}
	}
}

// failures lists what is not passed, by operator, so that what has one cause
// stands together.
func failures(b *bytes.Buffer, suites []suite) {
	b.WriteString("\n## Not passed\n")
	for _, s := range suites {
		for _, g := range s.groups {
			if g.passed() < len(g.cases) {
				fmt.Fprintf(b, "\n### %s, %s\n\n| operator | operator set | case | why |\n|---|---|---|---|\n", s.origin, g.name)
				for _, c := range g.failed() {
					fmt.Fprintf(b, "| %s | %s | `%s` | %s |\n", operators(c.about.ops), opsetName(c.about.opset), c.name, cell(c.reason()))
				}
			}
		}
	}
}

// failed returns the cases that are not passed, by operator and name.
func (g *group) failed() []*testCase {
	var out []*testCase
	for _, c := range g.cases {
		if c.err != nil {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *testCase) int {
		return cmp.Or(strings.Compare(operators(a.about.ops), operators(b.about.ops)), strings.Compare(a.name, b.name))
	})
	return out
}

// operators names the operators of a case. Those of a long list are cut short:
// they are an operator's definition by others, and the case's name says whose.
func operators(ops []string) string {
	const most = 4
	if len(ops) > most {
		return strings.Join(ops[:most], ", ") + fmt.Sprintf(" and %d more", len(ops)-most)
	}
	return strings.Join(ops, ", ")
}

func opsetName(version int64) string {
	if version == 0 {
		return "none"
	}
	return fmt.Sprint(version)
}

// cell keeps a message from ending its cell of the table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "\n", " ").Replace(s)
}
