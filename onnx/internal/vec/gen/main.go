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

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

const noSplit = attr.NOSPLIT

func main() {
	dir := flag.String("dir", ".", "where the files go")
	flag.Parse()
	if err := generate(*dir); err != nil {
		log.Fatal(err)
	}
}

func generate(dir string) error {
	families := map[string][]*loop{"unary": unary(), "binary": binary(), "rows": rows()}
	var all []*loop
	for _, name := range []string{"unary", "binary", "rows"} {
		if err := assemble(dir, name, families[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, families[name]...)
	}
	for _, f := range []struct {
		name string
		text func([]*loop) string
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
func assemble(dir, name string, family []*loop) error {
	c := build.NewContext()
	c.ConstraintExpr("amd64,!purego")
	constants := map[uint32]operand.Mem{}
	for _, l := range family {
		l.emit(&machine{Context: c, constants: constants})
		l.emit(&machine{Context: c, constants: constants, avx512: true})
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
		if err := os.WriteFile(filepath.Join(dir, name+out.suffix), text, 0o644); err != nil {
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
