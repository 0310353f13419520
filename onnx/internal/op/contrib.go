package op

import "fmt"

// contribOperators are operators of onnxruntime's own domain that its optimizer and its
// quantizer write into files (ContribOperators.md of that project).
func contribOperators() map[string]Spec {
	gelu := activationOperators()["Gelu"]
	gelu.Since = 0
	return map[string]Spec{
		"com.microsoft:Gelu":                  gelu,
		"com.microsoft:FusedMatMul":           {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeFusedMatMul},
		"com.microsoft:DynamicQuantizeMatMul": {MinIn: 3, MaxIn: 5, MaxOut: 1, Make: makeDynamicProduct},
	}
}

// makeFusedMatMul makes a MatMul of transposed matrices.
func makeFusedMatMul(a *Attributes, _ int64) (Operator, error) {
	for _, name := range []string{"transBatchA", "transBatchB"} {
		if a.flag(name, false) {
			return nil, fmt.Errorf("attribute %s is not supported by this engine", Quote(name))
		}
	}
	o := &Product{Alpha: a.float("alpha", 1), TransA: a.flag("transA", false), TransB: a.flag("transB", false)}
	if o.Alpha == 0 {
		return zeroScaled{o, true, false}, nil
	}
	return o, nil
}
