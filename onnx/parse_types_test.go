package onnx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"testing/iotest"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// varints is a packed list of integers.
func varints(field int, v ...int64) []byte {
	var b []byte
	for _, x := range v {
		b = binary.AppendUvarint(b, uint64(x))
	}
	return pb.Msg(field, b)
}

// le is numbers as raw data has them.
func le(v any) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, v)
	return b.Bytes()
}

// TestEveryElementType: raw and in the field of its type, which must mean the same.
func TestEveryElementType(t *testing.T) {
	for _, c := range []struct {
		want  *tensor.Tensor
		raw   []byte
		typed []byte
	}{
		{tensor.List[float32](1, float32(math.Inf(-1))), le([]float32{1, float32(math.Inf(-1))}), pb.Msg(4, le([]float32{1, float32(math.Inf(-1))}))},
		{tensor.List[uint8](0, 255), []byte{0, 255}, varints(5, 0, 255)},
		{tensor.List[int8](-128, 127), []byte{128, 127}, varints(5, -128, 127)},
		{tensor.List[uint16](1, 65535), le([]uint16{1, 65535}), varints(5, 1, 65535)},
		{tensor.List[int16](-32768, 2), le([]int16{-32768, 2}), varints(5, -32768, 2)},
		{tensor.List[int32](-1<<31, 1<<31-1), le([]int32{-1 << 31, 1<<31 - 1}), varints(5, -1<<31, 1<<31-1)},
		{tensor.List[int64](-1<<63, 1), le([]int64{-1 << 63, 1}), varints(7, -1<<63, 1)},
		{tensor.List(true, false), []byte{1, 0}, varints(5, 1, 0)},
		{tensor.List[tensor.F16](0x3c00, 0xfc00), le([]uint16{0x3c00, 0xfc00}), varints(5, 0x3c00, 0xfc00)},
		{tensor.List[float64](-2.5, 1e300), le([]float64{-2.5, 1e300}), pb.Msg(10, le([]float64{-2.5, 1e300}))},
		{tensor.List[uint32](0, 1<<32-1), le([]uint32{0, 1<<32 - 1}), varints(11, 0, 1<<32-1)},
		{tensor.List[uint64](7, 1<<64-1), le([]uint64{7, 1<<64 - 1}), varints(11, 7, -1)},
		{tensor.List[complex64](1+2i, -3i), le([]float32{1, 2, 0, -3}), pb.Msg(4, le([]float32{1, 2, 0, -3}))},
		{tensor.List[complex128](1+2i, -3), le([]float64{1, 2, -3, 0}), pb.Msg(10, le([]float64{1, 2, -3, 0}))},
		{tensor.List[tensor.BF16](0x3f80, 0x8000), le([]uint16{0x3f80, 0x8000}), varints(5, 0x3f80, 0x8000)},
		{tensor.List[tensor.E4M3](1, 0x80), []byte{1, 0x80}, varints(5, 1, 0x80)},
		{tensor.List[tensor.E4M3UZ](1, 0x80), []byte{1, 0x80}, varints(5, 1, 0x80)},
		{tensor.List[tensor.E5M2](1, 0x80), []byte{1, 0x80}, varints(5, 1, 0x80)},
		{tensor.List[tensor.E5M2UZ](1, 0x80), []byte{1, 0x80}, varints(5, 1, 0x80)},
		{tensor.List[tensor.U4](1, 15, 8), []byte{0xf1, 0x08}, varints(5, 0xf1, 0x08)},
		{tensor.List[tensor.I4](1, -1, -8), []byte{0xf1, 0x08}, varints(5, 0xf1, 0x08)},
		{tensor.List[tensor.E2M1](1, 15, 8), []byte{0xf1, 0x08}, varints(5, 0xf1, 0x08)},
		{tensor.List[tensor.E8M0](127, 255), []byte{127, 255}, varints(5, 127, 255)},
		{tensor.List[tensor.U2](3, 0, 1, 2, 3), []byte{0b10010011, 3}, varints(5, 0b10010011, 3)},
		{tensor.List[tensor.I2](-1, 0, 1, -2, -1), []byte{0b10010011, 3}, varints(5, 0b10010011, 3)},
		{tensor.List("a", "", "héllo"), nil, join(pb.Str(6, "a"), pb.Str(6, ""), pb.Str(6, "héllo"))},
	} {
		t.Run(c.want.Type.String(), func(t *testing.T) {
			head := pb.Head("w", int64(c.want.Type), int64(c.want.Len()))
			for name, elements := range map[string][]byte{"raw": pb.Msg(9, c.raw), "typed": c.typed} {
				if c.raw == nil && name == "raw" {
					continue
				}
				got, err := ParseTensor(append(head, elements...), DefaultLimits())
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
				}
				first, err := ParseTensor(append(elements[:len(elements):len(elements)], head...), DefaultLimits())
				if err != nil || !reflect.DeepEqual(first, c.want) {
					t.Errorf("%s before its type: %v, %v; want %v", name, first, err, c.want)
				}
			}
		})
	}
}

// TestValuesByThemselves: sequences and optionals, as the test data of models has them.
func TestValuesByThemselves(t *testing.T) {
	item := func(field int, v float32) []byte { return pb.Msg(field, pb.Floats("", []int64{1}, v)) }
	inner := join(pb.Int(2, 1), item(3, 1), item(3, 2))
	for name, c := range map[string]struct {
		data []byte
		read func([]byte, Limits) (*tensor.Tensor, error)
		want *tensor.Tensor
		bad  string
	}{
		"sequence":              {inner, ParseSequence, tensor.SequenceOf(tensor.Float32, vec(1), vec(2)), ""},
		"empty sequence":        {pb.Int(2, 1), ParseSequence, tensor.SequenceOf(0), ""},
		"sequence of sequences": {join(pb.Int(2, 3), pb.Msg(5, inner)), ParseSequence, &tensor.Tensor{Type: tensor.Sequence, ItemType: tensor.Sequence, Inner: tensor.Float32, Items: []*tensor.Tensor{tensor.SequenceOf(tensor.Float32, vec(1), vec(2))}}, ""},
		"optional":              {join(pb.Int(2, 1), item(3, 1)), ParseOptional, tensor.OptionalOf(tensor.Float32, 0, vec(1)), ""},
		"empty optional":        {nil, ParseOptional, tensor.OptionalOf(0, 0, nil), ""},
		"optional sequence":     {join(pb.Int(2, 3), pb.Msg(5, inner)), ParseOptional, tensor.OptionalOf(tensor.Sequence, tensor.Float32, tensor.SequenceOf(tensor.Float32, vec(1), vec(2))), ""},
		"mixed types":           {join(pb.Int(2, 1), item(3, 1), pb.Msg(3, pb.Ints("", nil, 1))), ParseSequence, nil, "item 0 is float32, the sequence is of int64"},
		"wrong kind":            {join(pb.Int(2, 3), item(3, 1)), ParseSequence, nil, "item 0 is not of the kind 3"},
		"map":                   {join(pb.Int(2, 4), pb.Msg(6)), ParseSequence, nil, "maps, optionals and sparse values"},
		"deep":                  {join(pb.Int(2, 3), pb.Msg(5, pb.Int(2, 3), pb.Msg(5, pb.Int(2, 1)))), ParseSequence, nil, "more than 2 levels of lists"},
		"kind without a value":  {join(pb.Int(2, 2), item(3, 1)), ParseSequence, nil, "item 0 is not of the kind 2"},
		"list of numbers":       {join(pb.Int(2, 3), pb.Int(5, 1)), ParseSequence, nil, "field 5 has wire type 0, expected 2"},
		"two in an optional":    {join(pb.Int(2, 1), item(3, 1), item(3, 1)), ParseOptional, nil, "field 3 is there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.read(c.data, DefaultLimits())
			if c.bad != "" {
				wantError(t, err, c.bad)
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// TestValuesAreHeldToTheLimits as models are.
func TestValuesAreHeldToTheLimits(t *testing.T) {
	lim := DefaultLimits()
	lim.Bytes = 3
	for want, lim := range map[string]Limits{"limit Bytes is 0": {}, "value has 4 bytes, the limit is 3": lim} {
		_, err := ParseSequence(join(pb.Int(2, 1), pb.Int(2, 1)), lim)
		wantError(t, err, want)
	}
}

// TestExternalDataInEveryPlace where a tensor may stand.
func TestExternalDataInEveryPlace(t *testing.T) {
	w := join(pb.Head("w", 1, 4), pb.Msg(13, pb.Str(1, "location"), pb.Str(2, "/etc/passwd")), pb.Int(14, 1))
	constant := pb.Node("", "Constant", nil, of("b"), pb.AttrTensor("value", w))
	branch := func(fields ...[]byte) []byte {
		return pb.Model(x(), pb.Node("", "If", of("x"), of("y"), pb.AttrGraph("then_branch", join(fields...), pb.OpenOutput("b", 1))), y())
	}
	for name, model := range map[string][]byte{
		"initializer":                     pb.Model(pb.Initializer(w), y()),
		"attribute":                       pb.Model(constant, y()),
		"list in an attribute":            pb.Model(pb.Node("", "Constant", nil, of("y"), pb.Msg(5, pb.Str(1, "values"), pb.Msg(10, w), pb.Int(20, 9))), y()),
		"initializer of a graph inside":   branch(pb.Initializer(w)),
		"attribute in a graph inside":     branch(constant),
		"function":                        callF(pb.Function("own", "F", of("x"), of("y"), pb.Inner("", "Constant", nil, of("y"), pb.AttrTensor("value", w)))),
		"function that nobody calls":      append(pb.Model(x(), relu(), y()), pb.Function("own", "F", nil, nil, pb.Inner("", "Constant", nil, of("y"), pb.AttrTensor("value", w)))...),
		"default of a function":           callF(pb.Function("own", "F", of("x"), of("y"), pb.Msg(11, pb.Str(1, "k"), pb.Msg(5, w), pb.Int(20, 4)))),
		"behind the elements of a tensor": pb.Model(pb.Initializer(pb.Floats("w", []int64{4}, 1, 2, 3, 4), pb.Msg(13)), y()),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(model, DefaultLimits())
			wantError(t, err, "external data is refused")
			_, err = ParseFrom(bytes.NewReader(model), DefaultLimits())
			wantError(t, err, "external data is refused")
		})
	}
	_, err := ParseTensor(w, DefaultLimits())
	wantError(t, err, "external data is refused")
	_, err = ParseSequence(join(pb.Int(2, 1), pb.Msg(3, w)), DefaultLimits())
	wantError(t, err, "external data is refused")
	sparse := pb.Model(pb.Msg(15, pb.Msg(1, w)), y())
	_, err = load(sparse, DefaultLimits())
	wantError(t, err, "sparse initializers are not supported")
}

// TestStreamsGiveTheSameModel, in whatever portions they come.
func TestStreamsGiveTheSameModel(t *testing.T) {
	weights := make([]float32, 50_000) // longer than what is held of a stream
	for i := range weights {
		weights[i] = rand.Float32()
	}
	data := pb.Model(x(), pb.Initializer(pb.Floats("w", []int64{50_000}, weights...)), pb.Initializer(join(pb.Msg(9, le(weights[:100])), pb.Head("v", 1, 100))),
		pb.Node("", "Concat", of("x", "w", "v"), of("y"), pb.AttrInt("axis", 0)), y(), pb.Msg(16, pb.Str(1, "note"), pb.Str(2, string(make([]byte, 200_000)))))
	want, err := Parse(data, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]io.Reader{
		"whole": bytes.NewReader(data), "halves": iotest.HalfReader(bytes.NewReader(data)), "bytes": iotest.OneByteReader(bytes.NewReader(data)),
	} {
		got, err := ParseFrom(from, DefaultLimits())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	lim := DefaultLimits()
	lim.Bytes = int64(len(data))
	if _, err := ParseFrom(bytes.NewReader(data), lim); err != nil {
		t.Error(err)
	}
	lim.Bytes--
	_, err = ParseFrom(bytes.NewReader(data), lim)
	wantError(t, err, "onnx: ")
	lost := errors.New("lost")
	_, err = ParseFrom(io.MultiReader(bytes.NewReader(data[:len(data)/2]), iotest.ErrReader(lost)), DefaultLimits())
	if wantError(t, err, "lost"); !errors.Is(err, lost) {
		t.Errorf("%v does not say why the stream broke", err)
	}
}

// zeros is an endless stream.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// TestStreamedWeightsAreHeldOnce: the file's bytes are not kept beside them.
func TestStreamedWeightsAreHeldOnce(t *testing.T) {
	const n = 8 << 20 // float32
	head := pb.Head("w", 1, n)
	body := binary.AppendUvarint(binary.AppendUvarint(head, 9<<3|2), 4*n)
	field := func(number, size uint64) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(nil, number<<3|2), size)
	}
	initializer := append(field(5, uint64(len(body)+4*n)), body...)
	graph := append(field(7, uint64(len(initializer)+4*n)), initializer...)
	front := join(pb.Int(1, 8), pb.Msg(8, pb.Str(1, ""), pb.Int(2, 17)), graph)
	stream := io.MultiReader(bytes.NewReader(front), io.LimitReader(zeros{}, 4*n))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ParseFrom(stream, DefaultLimits())
	runtime.ReadMemStats(&after)
	wantError(t, err, "the graph has no output") // read to its end
	if took := after.TotalAlloc - before.TotalAlloc; took > 4*n+4*n/8 {
		t.Errorf("%d bytes were allocated for %d bytes of weights", took, 4*n)
	}
}
