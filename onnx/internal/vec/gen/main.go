// Command gen writes the assembly of package vec, its stubs, and the functions
// that choose between the forms. It answers how a function is told once and comes
// out for each vector width.
package main

import (
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"
	"slices"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	dir := flag.String("dir", ".", "where the files go")
	flag.Parse()
	if err := generate(*dir); err != nil {
		log.Fatal(err)
	}
}

// family is functions that share a file.
type family struct {
	name      string
	functions []function
}

func of[F function](functions []F) []function {
	var all []function
	for _, f := range functions {
		all = append(all, f)
	}
	return all
}

func generate(dir string) error {
	var all []signature
	for _, f := range []family{
		{"unary", of(unary())}, {"binary", of(binary())}, {"rows", of(rows())},
		{"convert", of(conversions())}, {"matrix", []function{sumColumns{}, transpose{}}},
	} {
		if err := assemble(dir, f); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		for _, each := range f.functions {
			all = append(all, each.signature())
		}
	}
	for _, f := range []struct {
		name string
		text func([]signature) string
	}{{"choose_amd64.go", chooseVector}, {"choose_other.go", choosePortable}} {
		source, err := format.Source([]byte(f.text(all)))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.name), source, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// assemble writes the assembly and the stubs of a family.
func assemble(dir string, of family) error {
	c := build.NewContext()
	c.ConstraintExpr("amd64,!purego")
	constants := map[uint32]operand.Mem{}
	for _, f := range of.functions {
		for _, level := range slices.Backward(f.signature().forms()) {
			f.emit(&machine{Context: c, constants: constants, avx512: level == "AVX512"})
		}
	}
	file, err := c.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(file); err != nil {
		return err
	}
	if err := pass.FunctionPass(pruneMoves).Execute(file); err != nil {
		return err
	}
	cfg := printer.Config{Name: "onnx/internal/vec/gen", Pkg: "vec"}
	for _, out := range []struct {
		suffix string
		p      printer.Printer
	}{{"_amd64.s", printer.NewGoAsm(cfg)}, {"_amd64.go", printer.NewStubs(cfg)}} {
		text, err := out.p.Print(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, of.name+out.suffix), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pruneMoves removes moves of a vector register to itself.
func pruneMoves(f *ir.Function) error {
	var kept []ir.Node
	for _, node := range f.Nodes {
		i, ok := node.(*ir.Instruction)
		if !ok || i.Opcode != "VMOVAPS" || len(i.Operands) != 2 || i.Operands[0] != i.Operands[1] {
			kept = append(kept, node)
		}
	}
	f.Nodes = kept
	return nil
}
