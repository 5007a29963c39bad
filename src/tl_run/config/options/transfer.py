"""How knowledge moves from the pretrained model to the task: one dataclass for each method."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tl_run.config.options.ranges import Count, NotNegative, Positive, Share, Whole
from tl_run.config.schema import Range


@dataclass(frozen=True)
class Method:
    """What every method has."""

    takes_domain = False
    """Whether it learns from unlabelled examples of another domain (task.domain.train)."""
    divisible = True
    """Whether its loss is a sum over examples, so that a batch may be cut and shared."""

    name: str


@dataclass(frozen=True)
class FineTune(Method):
    """Training goes on from the pretrained weights on the task's labels."""

    name: Literal["finetune"]


@dataclass(frozen=True)
class L2sp(Method):
    """Fine-tuning, held near the weights that it began with (arXiv:1802.01483)."""

    name: Literal["l2sp"]
    alpha: NotNegative
    """Half of it times the squared distance of what the checkpoint brought to where it began is added to the loss."""
    beta: NotNegative
    """The same for what is new, whose beginning counts as 0."""


@dataclass(frozen=True)
class Mixout(Method):
    """Fine-tuning, with a part of the weights replaced at each step by those that it began with (arXiv:1909.11299)."""

    name: Literal["mixout"]
    p: Share
    """The share of each matrix that is replaced."""


@dataclass(frozen=True)
class Rdrop(Method):
    """Fine-tuning with two dropouts that shall say the same (arXiv:2106.14448)."""

    name: Literal["rdrop"]
    alpha: NotNegative
    """What the divergence of both counts beside the task's loss."""


@dataclass(frozen=True)
class Taught(Method):
    """Fine-tuning beside a model that has learned the task already."""

    teacher: str | None
    """Folder of a finished run, or a model folder with a head for the same labels."""


@dataclass(frozen=True)
class Distill(Taught):
    """What the teacher says of each example is learned too (arXiv:1503.02531)."""

    name: Literal["distill"]
    temperature: Positive
    """What logits are divided by before they are compared."""
    alpha: Annotated[float, Range(at_least=0, at_most=1)]
    """What the teacher's word counts; the label counts the rest."""
    hidden: NotNegative
    """What the distance of the vectors before the logits counts (arXiv:1412.6550); 0: they are not compared."""


@dataclass(frozen=True)
class DistillRelations(Taught):
    """How the teacher's vectors lie to each other is learned too (arXiv:1904.05068)."""

    divisible = False

    name: Literal["distill_relations"]
    distance: NotNegative
    """What the distances between two examples count."""
    angle: NotNegative
    """What the angles between three examples count."""


@dataclass(frozen=True)
class Adaptation(Method):
    """Beside the task's loss a term that makes the vectors of both domains alike."""

    takes_domain = True

    weight: NotNegative
    """What the term counts beside the task's loss."""
    schedule: Literal["ramp", "constant"]
    """ramp: the weight rises from 0 as 2 / (1 + exp(-10 p)) - 1, where p goes from 0 to 1 over the run
    (arXiv:1505.07818, section 5.2.2)."""


@dataclass(frozen=True)
class Mmd(Adaptation):
    """Maximum mean discrepancy (arXiv:1502.02791)."""

    divisible = False

    name: Literal["mmd"]
    bandwidths: list[Positive]
    """A kernel for each: exp(-distance^2 / (bandwidth * mean distance^2 of the batch)); their mean is taken."""


@dataclass(frozen=True)
class Coral(Adaptation):
    """Distance of second-order statistics (arXiv:1607.01719)."""

    divisible = False

    name: Literal["coral"]


@dataclass(frozen=True)
class Dann(Adaptation):
    """A domain classifier with the gradient reversed below it (arXiv:1505.07818)."""

    name: Literal["dann"]
    hidden: Count
    """Units of the domain classifier's hidden layer."""
    classifier_lr: Positive
    """Learning rate of the domain classifier: one that is slower than the model is led astray, not convinced."""


@dataclass(frozen=True)
class Cdan(Adaptation):
    """As dann, and the domain classifier sees vector and prediction together (arXiv:1705.10667)."""

    name: Literal["cdan"]
    hidden: Count
    """Units of the domain classifier's hidden layer."""
    classifier_lr: Positive
    """Learning rate of the domain classifier: one that is slower than the model is led astray, not convinced."""
    entropy: bool
    """Whether examples with sure predictions count more: 1 + exp(-entropy)."""


@dataclass(frozen=True)
class InstanceWeighting(Method):
    """Old examples count by how much they look like the new domain, as a domain classifier sees them."""

    takes_domain = True

    name: Literal["instance_weighting"]
    clip: Annotated[float, Range(above=1)]
    """An example counts at most so often as one that both domains have as often, and at least 1 / clip."""
    folds: Annotated[int, Range(at_least=2)]
    """An example is weighed by a classifier that has not seen it: so many are fitted."""


@dataclass(frozen=True)
class SelfTraining(Method):
    """The model labels the new domain, and learns from what it is sure of."""

    takes_domain = True

    name: Literal["self_training"]
    threshold: Share
    """How sure the model must be of a label."""
    balanced: bool
    """As many as are sure enough, but of each class its share of the training labels: the surest of each."""
    warmup: Share
    """The part of the run in which it learns from the old domain alone."""
    rounds: Count
    """How often the new domain is labelled anew in what comes after."""
    weight: NotNegative
    """What its own labels count beside the given ones."""


@dataclass(frozen=True)
class Federated(Method):
    """Clients learn from their own examples, and a server from what their weights have changed by."""

    clients: Count
    """Among so many the training examples are split."""
    fraction: Annotated[float, Range(above=0, at_most=1)]
    """The share of clients that takes part in a round."""
    local_epochs: Count
    """How often a client goes over its examples in a round."""
    local_lr: Positive
    """A client's learning rate: plain gradient descent in batches of training.batch_size."""
    split: Literal["iid", "dirichlet"]
    """iid: each client has as many, drawn at random; dirichlet: of each class a part of random size."""
    concentration: Positive
    """Of the Dirichlet distribution: 0.1 gives most clients one class, 100 gives all nearly the same."""
    clip: Positive | None
    """Largest norm of a client's update."""
    noise: NotNegative
    """Standard deviation of the noise on the sum of updates, in units of clip; 0: none, and no privacy."""
    delta: Share
    """Epsilon is told for this delta, which is well below 1 / clients."""


@dataclass(frozen=True)
class FedAvg(Federated):
    """Federated averaging (arXiv:1602.05629)."""

    name: Literal["fedavg"]


@dataclass(frozen=True)
class FedProx(Federated):
    """As fedavg, and clients are held near the server's weights (arXiv:1812.06127)."""

    name: Literal["fedprox"]
    mu: NotNegative
    """Half of it times the squared distance to the server's weights is added to a client's loss."""


@dataclass(frozen=True)
class FrozenFeatures(Method):
    """Features of the frozen trunk, prepared for a head that is solved on them."""

    name: Literal["features"]
    select: Literal["none", "anova", "l1"]
    """Which are kept: those with the largest F between labels, or the largest coefficients with an L1 penalty."""
    keep: Annotated[int, Range(at_least=1)] | Share
    """How many: a whole number, or a share of them such as 0.5."""
    autoencoder: Count | None
    """To so many dimensions features are reduced by an autoencoder, after the selection; null: they are not."""
    tfidf: bool
    """Whether TF-IDF of the model's tokens stands beside the features."""
    align: Literal["none", "coral"]
    """coral: features of the new domain (task.domain.train) get the statistics of the old one (arXiv:1511.05547)."""

    @property
    def takes_domain(self) -> bool:
        """Where it aligns."""
        return self.align != "none"


@dataclass(frozen=True)
class Multitask(Method):
    """Several tasks at once: one trunk for all of them, a head for each."""

    name: Literal["multitask"]
    tasks: list[str]
    """Choices of the group task, or a map from names to choices; each learns as it would alone."""
    options: dict[str, str] | None
    """Options of each task by its name, in place of those of its YAML: transfer.options.ner.limit=1000."""
    sampling: Literal["proportional", "equal", "temperature", "annealed"]
    """What part of a step's examples is of a task with n of them: n, 1, n^(1/temperature), or n^a, where a goes from 1
    to 0.2 over the epochs (arXiv:1902.02671)."""
    temperature: Annotated[float, Range(at_least=1)]
    """Of sampling=temperature: 1 is proportional, and the larger it is, the more equal are the parts."""
    epochs: Whole
    """Of sampling=annealed: over so many epochs; as many as there are, unless given."""
    weighting: Literal["fixed", "uncertainty"]
    """What a task's loss L counts: its weight, or exp(-s) L + s / 2 with an s that learns (arXiv:1705.07115)."""
    weights: dict[str, NotNegative] | None
    """Of weighting=fixed: by a task's name; a task that is not named counts 1."""
    uncertainty_lr: Positive
    """Of weighting=uncertainty: the learning rate of s."""


@dataclass(frozen=True)
class MetaLearning(Method):
    """What is learned from episodes is how to learn from few examples."""

    episodes: Count
    """Episodes in an optimizer step."""


@dataclass(frozen=True)
class Protonet(MetaLearning):
    """An example is of the class whose mean vector is nearest (arXiv:1703.05175)."""

    name: Literal["protonet"]
    distance: Literal["euclidean", "cosine"]
    """euclidean: its square; cosine: 1 minus it."""
    scale: Positive
    """What distances are multiplied by before the softmax."""
    ways: Annotated[int, Range(at_least=2)] | None
    """Classes in an episode of training, where more of them than task.ways shall be told apart; null: as many."""


@dataclass(frozen=True)
class Adapting(MetaLearning):
    """Weights from which a few steps of gradient descent lead to what an episode asks for."""

    inner_lr: Positive
    """The rate of those steps."""
    inner_steps: Count
    """How many of them in training."""
    test_steps: Count
    """How many where episodes are scored."""


@dataclass(frozen=True)
class Reptile(Adapting):
    """The weights go towards what episodes adapt them to (arXiv:1803.02999)."""

    name: Literal["reptile"]


@dataclass(frozen=True)
class Maml(Adapting):
    """The gradient of the loss after adaptation, taken through its steps (arXiv:1703.03400)."""

    name: Literal["maml"]
    first_order: bool
    """Whether the gradients of those steps count as constants: cheaper, and an approximation."""


Transfer = (
    FineTune
    | L2sp
    | Mixout
    | Rdrop
    | Distill
    | DistillRelations
    | Mmd
    | Coral
    | Dann
    | Cdan
    | InstanceWeighting
    | SelfTraining
    | FedAvg
    | FedProx
    | FrozenFeatures
    | Multitask
    | Protonet
    | Reptile
    | Maml
)
