package op

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func textOperators() map[string]Spec {
	return map[string]Spec{
		"StringConcat":     {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: always(stringConcat{}), Since: 20},
		"StringSplit":      {MinIn: 1, MaxIn: 1, MaxOut: 2, Make: makeStringSplit, Since: 20},
		"StringNormalizer": {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeStringNormalizer, Since: 10},
		"RegexFullMatch":   {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeRegexFullMatch, Since: 20},
		"TfIdfVectorizer":  {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeTfIdf, Since: 9},
	}
}

// stringConcat joins two strings, element by element.
type stringConcat struct{}

func (stringConcat) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, tensor.String); err != nil {
		return nil, err
	}
	shape, isRanked, err := broadcast(in)
	if err != nil {
		return nil, err
	}
	return []Info{{Type: tensor.String, Ranked: isRanked, Shape: shape}}, nil
}

func (stringConcat) Run(env *Env, in, out []*tensor.Tensor) error {
	to, a, b := tensor.Data[string](out[0]), tensor.Data[string](in[0]), tensor.Data[string](in[1])
	shape := out[0].Shape
	operands := []kernel.Operand{kernel.Dense(shape), kernel.Broadcast(in[0].Shape, shape), kernel.Broadcast(in[1].Shape, shape)}
	return kernel.Walk(env.On, shape, operands, func(n int, at, step []int) error {
		for i := range n {
			x, y := a[at[1]+i*step[1]], b[at[2]+i*step[2]]
			if err := env.hold(int64(len(x)) + int64(len(y))); err != nil {
				return err
			}
			to[at[0]+i*step[0]] = x + y
		}
		return nil
	})
}

// stringSplit cuts strings at a delimiter, or where there is white space. Results: the
// pieces, along a new last axis that is as long as the most pieces of one string, and
// how many there are of each.
type stringSplit struct {
	maker
	delimiter string
	most      int // cuts; -1: any number
}

func makeStringSplit(a *Attributes, _ int64) (Operator, error) {
	o := stringSplit{delimiter: a.string("delimiter", ""), most: -1}
	if a.has("maxsplit") {
		most := a.int("maxsplit", 0)
		if most < 0 {
			return nil, fmt.Errorf(`attribute "maxsplit" is %d`, most)
		}
		o.most = int(min(most, 1<<30))
	}
	return o, nil
}

func (o stringSplit) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.String); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(tensor.String), unranked(tensor.Int64)}, nil
	}
	return []Info{stackedInfo(openly(*in[0]), len(in[0].Shape)), ranked(tensor.Int64, in[0].Shape...)}, nil
}

func (o stringSplit) split(s string) []string {
	switch {
	case o.delimiter != "" && o.most >= 0:
		return strings.SplitN(s, o.delimiter, o.most+1)
	case o.delimiter != "":
		return strings.Split(s, o.delimiter)
	case o.most < 0:
		return strings.Fields(s)
	}
	var words []string
	s = strings.TrimLeftFunc(s, unicode.IsSpace)
	for s != "" && len(words) < o.most {
		end := strings.IndexFunc(s, unicode.IsSpace)
		if end < 0 {
			break
		}
		words = append(words, s[:end])
		s = strings.TrimLeftFunc(s[end:], unicode.IsSpace)
	}
	if s != "" {
		words = append(words, s)
	}
	return words
}

func (o stringSplit) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	counts, err := env.New(tensor.Int64, in[0].Shape)
	if err != nil {
		return nil, err
	}
	env.Keep(counts)
	most := 0
	pieces := make([][]string, in[0].Len())
	for i, s := range tensor.Data[string](in[0]) {
		if err := env.On.Err(); err != nil {
			return nil, err
		}
		if err := env.hold(tensor.String.Size() * int64(len(s)/max(len(o.delimiter), 1)+1)); err != nil {
			return nil, err
		}
		pieces[i] = o.split(s)
		tensor.Data[int64](counts)[i] = int64(len(pieces[i]))
		most = max(most, len(pieces[i]))
	}
	all, err := env.New(tensor.String, append(append([]int64{}, in[0].Shape...), int64(most)))
	if err != nil {
		return nil, err
	}
	for i, words := range pieces {
		copy(tensor.Data[string](all)[i*most:], words)
	}
	return []*tensor.Tensor{all, counts}, nil
}

// stringNormalizer changes the case of words and leaves out stop words. Operand 0 is a
// list, or a matrix of one row.
type stringNormalizer struct {
	maker
	action string
	exact  bool // stop words must agree in case, too
	stop   map[string]bool
}

func makeStringNormalizer(a *Attributes, _ int64) (Operator, error) {
	o := stringNormalizer{action: a.oneOf("case_change_action", "NONE", "LOWER", "UPPER"), stop: map[string]bool{}}
	o.exact = a.flag("is_case_sensitive", false)
	locale := a.string("locale", "")
	for _, language := range []string{"az", "lt", "tr"} { // where letters change case in a way of their own
		if strings.HasPrefix(strings.ToLower(locale), language) {
			return nil, fmt.Errorf(`attribute "locale" is %s, which is not supported`, Quote(locale))
		}
	}
	words, _ := a.strings("stopwords")
	for _, w := range words {
		o.stop[o.key(w)] = true
	}
	return o, nil
}

// key is what two words have in common that count as the same.
func (o stringNormalizer) key(word string) string {
	if o.exact {
		return word
	}
	return strings.ToLower(word)
}

func (o stringNormalizer) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, tensor.String); err != nil {
		return nil, err
	}
	v := in[0]
	switch {
	case !v.Ranked:
		return []Info{unranked(tensor.String)}, nil
	case len(v.Shape) == 1:
		return []Info{ranked(tensor.String, -1)}, nil
	case len(v.Shape) == 2 && (v.Shape[0] == 1 || v.Shape[0] == -1):
		return []Info{ranked(tensor.String, 1, -1)}, nil
	}
	return nil, BadInput(0, "has shape %v, expected a list or a matrix of one row", v.Shape)
}

func (o stringNormalizer) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if _, err := o.Infer(infosOf(in)); err != nil {
		return nil, err
	}
	var words []string
	for _, w := range tensor.Data[string](in[0]) {
		if o.stop[o.key(w)] {
			continue
		}
		if err := env.On.Err(); err != nil {
			return nil, err
		}
		if err := env.hold(3*int64(len(w)) + tensor.String.Size()); err != nil { // a letter may grow
			return nil, err
		}
		words = append(words, o.change(w))
	}
	if len(words) == 0 {
		words = []string{""}
	}
	shape := []int64{int64(len(words))}
	if len(in[0].Shape) == 2 {
		shape = []int64{1, shape[0]}
	}
	return []*tensor.Tensor{tensor.Of(words, shape...)}, nil
}

func (o stringNormalizer) change(word string) string {
	switch o.action {
	case "LOWER":
		return strings.ToLower(word)
	case "UPPER":
		return strings.ToUpper(word)
	}
	return word
}
