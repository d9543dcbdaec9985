"""A view of Django that notifies a user."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST
from shop import notify


@require_POST
def ship(request: HttpRequest, order: int) -> JsonResponse:
    """Mark an order as shipped, and notify the customer, who may be away."""
    isThere = notify(request.POST["customer"], "shipped", {"order": order})
    return JsonResponse({"seen": isThere})
