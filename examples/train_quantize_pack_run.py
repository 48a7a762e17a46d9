"""From pictures to a file that runs: train in float, quantize stage by stage, pack, classify with the packed file.

On the digits that ship with the package; leaves net.elq behind, which `elq summary` and `elq run` read too.
"""

import elq_ref as elq

train, test = elq.datasets.digits()
net = elq.models.digits_cnn()
batches = elq.Batches(train, 64, augment=elq.datasets.default_augment(train))

for _ in elq.fit(net, batches, epochs=4, sgd=elq.SGD(lr=0.1)):
    pass
print(f"float: {elq.accuracy(net, test):.1%} of {len(test)} test pictures")

# Stage 0 trains all weights towards their levels; each later stage freezes some there and trains the rest.
plan = elq.Plan("ternary", sigma2=(0.4, 0.2, 0.0), epochs=(2, 1, 1, 1))
for step in elq.quantize(net, batches, plan, elq.SGD(lr=0.05)):
    if step.ends_stage:
        print(f"stage {step.stage}: {step.frozen:6.1%} frozen, loss of the quantized network {step.loss_hat:.3f}")

packed = elq.pack(net, test)  # the data set says shape, normalization and classes; the weights say their codes
print(packed.summary())
packed.save("net.elq")

session = elq.Session("net.elq")
logits = session(test.images)  # uint8 pictures; normalized by the rule in the file
right = (logits.argmax(1) == test.labels).mean()
print(f"packed: {right:.1%} right with {packed.weight_bytes:,} bytes of weights in place of {packed.float_bytes:,}")
