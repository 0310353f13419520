package pipeline

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// Values of a document that know their place.
type (
	name = strictyaml.At[string] // of a file beside the document
	word = strictyaml.At[string]
	// integer is a whole number.
	integer = strictyaml.At[int]
	// number is a decimal number.
	number = strictyaml.At[decimal]
)

// decimal is a number that may have a fraction.
type decimal float64

var decimalForm = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,17})?(e-?[0-9]{1,2})?$`)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *decimal) UnmarshalText(b []byte) error {
	if !decimalForm.Match(b) {
		return errNotDecimal
	}
	v, err := strconv.ParseFloat(string(b), 64)
	*d = decimal(v)
	return err
}

// checker gathers what is wrong with a document, and the files that it names.
type checker struct {
	errs          strictyaml.Errors
	models, files []string
}

func (c *checker) refuse(p strictyaml.Pos, path, seen, expected string) {
	c.errs.Add(p, path, "", seen, expected)
}

// fileName is what a file of a bundle may be called.
var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

const (
	documentName = "pipeline.yaml"
	modelSuffix  = ".onnx"
)

// model notes that the document needs a model.
func (c *checker) model(n name, path string) {
	if !fileName.MatchString(n.Value) || !strings.HasSuffix(n.Value, modelSuffix) {
		c.refuse(n.Pos, path, strictyaml.Quote(n.Value), "the name of a file beside this one that ends in "+modelSuffix)
		return
	}
	if !slices.Contains(c.models, n.Value) {
		c.models = append(c.models, n.Value)
	}
}

// file notes that the document needs a file that is not a model.
func (c *checker) file(n name, path string) {
	if !fileName.MatchString(n.Value) || strings.HasSuffix(n.Value, modelSuffix) || n.Value == documentName {
		c.refuse(n.Pos, path, strictyaml.Quote(n.Value), "the name of a file beside this one that is no model: letters, digits, dots, dashes")
		return
	}
	if !slices.Contains(c.files, n.Value) {
		c.files = append(c.files, n.Value)
	}
}

// between refuses a number outside of bounds, both of which are allowed. A number that
// is not there is refused as well, unless the struct it is in has another one for it.
func (c *checker) between(n integer, path string, low, high int) {
	if n.Value < low || n.Value > high {
		c.refuse(n.Pos, path, strconv.Itoa(n.Value), strconv.Itoa(low)+" to "+strconv.Itoa(high))
	}
}

// within is between for decimal numbers.
func (c *checker) within(n number, path string, low, high float64) {
	if v := float64(n.Value); !(low <= v && v <= high) {
		text := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
		c.refuse(n.Pos, path, text(v), text(low)+" to "+text(high))
	}
}

// oneOf refuses a word that is not one of those.
func (c *checker) oneOf(w word, path string, words ...string) {
	if !slices.Contains(words, w.Value) {
		c.refuse(w.Pos, path, strictyaml.Quote(w.Value), "one of "+strings.Join(words, ", "))
	}
}

// given says whether the document has a value.
func given[T any](a strictyaml.At[T]) bool { return a.Pos.Line != 0 }
